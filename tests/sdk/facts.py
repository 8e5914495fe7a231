"""What an answer says, whatever the dialect: a fold of our own.

It shares no code with the server, so that both must be wrong in the same way
for a test to pass wrongly.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

from recordings import Recording


@dataclass(frozen=True)
class Facts:
    """Text, calls as (name, arguments), why it stopped, and (input, cached, output) tokens."""

    text: str
    calls: tuple
    stop: str
    usage: tuple | None


STOPS = {
    "stop": "end", "tool_calls": "call", "length": "length", "content_filter": "refusal",
    "end_turn": "end", "stop_sequence": "end", "tool_use": "call", "max_tokens": "length", "refusal": "refusal",
}  # fmt: skip


def _call(name: str, arguments: str | dict | None) -> tuple:
    if not isinstance(arguments, dict):
        arguments = json.loads(arguments or "{}")
    return name, json.dumps(arguments, sort_keys=True)


def chat(answer: dict) -> Facts:
    choice, usage = answer["choices"][0], answer.get("usage")
    message = choice["message"]
    calls = [_call(c["function"]["name"], c["function"]["arguments"]) for c in message.get("tool_calls") or []]
    counted = usage and (
        usage["prompt_tokens"], (usage.get("prompt_tokens_details") or {}).get("cached_tokens") or 0,
        usage["completion_tokens"])  # fmt: skip
    return Facts(message.get("content") or "", tuple(calls), STOPS[choice["finish_reason"]], counted)


def responses(answer: dict) -> Facts:
    text, calls = "", []
    for item in answer["output"]:
        if item["type"] == "message":
            text += "".join(part["text"] for part in item["content"] if part["type"] == "output_text")
        elif item["type"] == "function_call":
            calls.append(_call(item["name"], item["arguments"]))
    stop = "call" if calls else "end"
    if answer["status"] == "incomplete":
        stop = {"max_output_tokens": "length", "content_filter": "refusal"}[answer["incomplete_details"]["reason"]]
    usage = answer.get("usage")
    counted = usage and (
        usage["input_tokens"], (usage.get("input_tokens_details") or {}).get("cached_tokens") or 0,
        usage["output_tokens"])  # fmt: skip
    return Facts(text, tuple(calls), stop, counted)


def messages(answer: dict) -> Facts:
    text = "".join(block["text"] for block in answer["content"] if block["type"] == "text")
    calls = [_call(block["name"], block["input"]) for block in answer["content"] if block["type"] == "tool_use"]
    usage = answer["usage"]
    cached = usage.get("cache_read_input_tokens") or 0
    put_in = usage["input_tokens"] + cached + (usage.get("cache_creation_input_tokens") or 0)
    return Facts(text, tuple(calls), STOPS[answer["stop_reason"]], (put_in, cached, usage["output_tokens"]))


def chat_events(events: list[dict]) -> Facts:
    text, calls, stop, usage = "", {}, None, None
    for event in events:
        usage = event.get("usage") or usage
        for choice in event.get("choices") or []:
            delta = choice.get("delta") or {}
            text += delta.get("content") or ""
            for part in delta.get("tool_calls") or []:
                call = calls.setdefault(part["index"], {"name": "", "arguments": ""})
                function = part.get("function") or {}
                call["name"] += function.get("name") or ""
                call["arguments"] += function.get("arguments") or ""
            stop = choice.get("finish_reason") or stop
    message = {"content": text, "tool_calls": [{"function": calls[index]} for index in sorted(calls)]}
    return chat({"choices": [{"message": message, "finish_reason": stop}], "usage": usage})


def responses_events(events: list[dict]) -> Facts:
    """From the deltas; the last event's answer must say the same."""
    text, calls, order = "", {}, []
    for event in events:
        if event["type"] == "response.output_text.delta":
            text += event["delta"]
        elif event["type"] == "response.output_item.added" and event["item"]["type"] == "function_call":
            order.append(event["output_index"])
            calls[event["output_index"]] = [event["item"]["name"], ""]
        elif event["type"] == "response.function_call_arguments.delta":
            calls[event["output_index"]][1] += event["delta"]
    last = events[-1]
    assert last["type"] in ("response.completed", "response.incomplete"), last
    final = responses(last["response"])
    folded = tuple(_call(*calls[index]) for index in order)
    assert (text, folded) == (final.text, final.calls), "the deltas and the last event differ"
    return final


def messages_events(events: list[dict]) -> Facts:
    answer, blocks = {}, {}
    for event in events:
        if event["type"] == "message_start":
            answer = dict(event["message"], usage=dict(event["message"]["usage"]))
        elif event["type"] == "content_block_start":
            blocks[event["index"]] = dict(event["content_block"], json="")
        elif event["type"] == "content_block_delta":
            delta = event["delta"]
            if delta["type"] == "text_delta":
                blocks[event["index"]]["text"] += delta["text"]
            elif delta["type"] == "input_json_delta":
                blocks[event["index"]]["json"] += delta["partial_json"]
        elif event["type"] == "message_delta":
            answer["stop_reason"] = event["delta"]["stop_reason"]
            answer["usage"].update({k: v for k, v in event["usage"].items() if v is not None})
    for block in blocks.values():
        if block["type"] == "tool_use":
            block["input"] = json.loads(block["json"] or "{}")
    return messages(dict(answer, content=[blocks[index] for index in sorted(blocks)]))


FOLDS = {"chat": chat, "responses": responses, "messages": messages}
STREAM_FOLDS = {"chat": chat_events, "responses": responses_events, "messages": messages_events}


def of(recording: Recording) -> Facts:
    """The facts of a recorded answer."""
    if recording.stream:
        return STREAM_FOLDS[recording.dialect](recording.events())
    return FOLDS[recording.dialect](recording.json())
