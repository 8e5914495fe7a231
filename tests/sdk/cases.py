"""What is asked, in each client's dialect, and the recording that answers it."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import cache

from recordings import Recording, cassette, chunks, whole

DIALECTS = ("chat", "responses", "messages")
SCHEMA = {
    "type": "object",
    "properties": {"amount": {"type": "number"}},
    "required": ["amount"],
    "additionalProperties": False,
}
PLACE = {
    "type": "object",
    "properties": {"location": {"type": "string"}},
    "required": ["location"],
    "additionalProperties": False,
}
TOOLS = ("get_weather", "get_news")
PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="

_OPENAI = "openai/pydantic-ai/tests/models/cassettes/"
_LLM = "openai/llm/tests/cassettes/"
_ANTHROPIC = "anthropic/pydantic-ai/tests/models/"
_METRY = "openai/openllmetry/packages/"
_VERCEL = "anthropic/vercel-ai/packages/anthropic/src/__fixtures__/"


def _as_chat_stream(answer: Recording) -> Recording:
    """A chat stream of the same answer: no recording has parallel calls in one."""
    whole_answer = answer.json()
    head = {key: whole_answer[key] for key in ("id", "created", "model")} | {"object": "chat.completion.chunk"}
    deltas = [{"role": "assistant", "content": None}]
    for index, call in enumerate(whole_answer["choices"][0]["message"]["tool_calls"]):
        arguments = call["function"]["arguments"]
        opening = {"name": call["function"]["name"], "arguments": ""}
        deltas.append({"tool_calls": [{"index": index, "id": call["id"], "type": "function", "function": opening}]})
        for at in range(0, len(arguments), 5):
            part = {"index": index, "function": {"arguments": arguments[at : at + 5]}}
            deltas.append({"tool_calls": [part]})
    events = [{**head, "choices": [{"index": 0, "delta": d, "finish_reason": None}], "usage": None} for d in deltas]
    events.append({**head, "choices": [{"index": 0, "delta": {}, "finish_reason": "tool_calls"}], "usage": None})
    events.append({**head, "choices": [], "usage": whole_answer["usage"]})
    body = "".join(f"data: {json.dumps(event)}\n\n" for event in events) + "data: [DONE]\n\n"
    return Recording("chat", body.encode(), stream=True, name=f"{answer.name} as a stream")


def _first_response(stream: Recording) -> Recording:
    """The recorded agent's later answers follow in one file: the first is taken."""
    frames, end = stream.body.split(b"\n\n"), b"event: response.completed\n"
    last = next(index for index, frame in enumerate(frames) if frame.startswith(end))
    return replace(stream, body=b"\n\n".join(frames[: last + 1]) + b"\n\n")


@cache
def recordings() -> dict[tuple[str, str, bool], Recording]:
    """By upstream dialect, case, and whether it is a stream."""
    chat_tools = cassette(f"{_METRY}opentelemetry-instrumentation-langchain/tests/cassettes/test_tool_calls/test_parallel_tool_calls.yaml")
    chat_schema = f"{_METRY}traceloop-sdk/tests/cassettes/test_prompt_management/test_prompt_management_with_response_format.yaml"
    streaming_d = f"{_LLM}test_tools_streaming/test_tools_streaming_variant_d.yaml"
    metry = "anthropic/openllmetry/packages/opentelemetry-instrumentation-anthropic/tests/cassettes/test_messages/"
    plain = {
        ("chat", "text"): whole("chat", "openai/vercel-ai/packages/openai/src/chat/__fixtures__/openai-text.json"),
        ("chat", "tools"): chat_tools,
        ("chat", "schema"): cassette(chat_schema),
        ("chat", "image"): cassette(f"{_OPENAI}test_openai/test_image_url_tool_response.yaml", 1),
        ("chat", "length"): cassette(f"{_METRY}opentelemetry-instrumentation-openai/tests/traces/cassettes/test_vision/test_vision.yaml"),
        ("responses", "text"): cassette(f"{_LLM}test_openai_responses/test_responses_basic_non_streaming.yaml"),
        ("responses", "tools"): cassette(f"{_OPENAI}test_openai_responses/test_openai_responses_model_retry.yaml"),
        ("responses", "schema"): cassette(f"{_OPENAI}test_openai/test_openai_responses_native_output_decimal_strict.yaml"),
        ("responses", "image"): cassette(f"{_OPENAI}test_openai_responses/test_openai_responses_image_url_input.yaml"),
        ("responses", "thinking"): whole("responses", "openai/vercel-ai/packages/openai/src/responses/__fixtures__/openai-reasoning-encrypted-content.1.json"),
        ("messages", "text"): whole("messages", f"{_VERCEL}anthropic-text.json"),
        ("messages", "tools"): cassette(f"{_ANTHROPIC}anthropic/cassettes/test_output/test_strict_none_tool_basemodel_output.yaml"),
        ("messages", "schema"): cassette(f"{_ANTHROPIC}cassettes/test_anthropic/test_anthropic_native_output_decimal_strict.yaml"),
        ("messages", "image"): cassette(f"{_ANTHROPIC}cassettes/test_anthropic/test_image_url_input.yaml"),
        ("messages", "thinking"): cassette(f"{_ANTHROPIC}cassettes/test_anthropic/test_anthropic_opus_46_features[adaptive-thinking].yaml"),
    }
    streams = {
        ("chat", "text"): cassette(streaming_d, 1),
        ("chat", "long"): chunks("chat", "openai/vercel-ai/packages/openai/src/chat/__fixtures__/openai-text.chunks.txt"),
        ("chat", "tool"): cassette(streaming_d, 0),
        ("chat", "tools"): _as_chat_stream(chat_tools),
        ("responses", "text"): cassette(f"{_LLM}test_openai_responses/test_responses_basic_streaming.yaml"),
        ("responses", "tools"): cassette(f"{_OPENAI}test_openai_responses/test_openai_responses_stream.yaml"),
        ("responses", "thinking"): _first_response(chunks("responses", "openai/vercel-ai/packages/openai/src/responses/__fixtures__/openai-reasoning-encrypted-content.1.chunks.txt")),
        ("messages", "text"): cassette(f"{metry}test_anthropic_sync_streaming_helper_methods_legacy.yaml"),
        ("messages", "tools"): cassette(f"{metry}test_anthropic_tools_streaming_legacy.yaml"),
        ("messages", "schema"): chunks("messages", f"{_VERCEL}anthropic-json-output-format.1.chunks.txt"),
        ("messages", "thinking"): chunks("messages", f"{_VERCEL}anthropic-clear-thinking.1.chunks.txt"),
    }
    found = {(*at, False): recording for at, recording in plain.items()}
    found.update({(*at, True): recording for at, recording in streams.items()})
    return found


def script_name(dialect: str, case: str, stream: bool) -> str:
    """The script that replays a recording; see `server.scripted`."""
    return f"{dialect}-{case}-{'stream' if stream else 'plain'}"


def request(dialect: str, case: str) -> dict:
    """What a client of this dialect sends, without model and stream."""
    said = {"schema": "Return exactly this payment amount: 12.34", "image": "What is in this image?",
            "tools": "Weather and news of San Francisco?"}.get(case, "Say hello.")  # fmt: skip
    return {"chat": _chat, "responses": _responses, "messages": _messages}[dialect](case, said)


def _chat(case: str, said: str) -> dict:
    asked: dict = {"messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": said}]}
    if case in ("tools", "tool"):
        asked["tools"] = [{"type": "function", "function": {"name": name, "description": "Looks it up", "parameters": PLACE}} for name in TOOLS]
        asked["parallel_tool_calls"] = True
    if case == "schema":
        asked["response_format"] = {"type": "json_schema", "json_schema": {"name": "payment", "strict": True, "schema": SCHEMA}}
    if case == "image":
        image = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PIXEL}"}}
        asked["messages"][1]["content"] = [{"type": "text", "text": said}, image]
    return asked


def _responses(case: str, said: str) -> dict:
    # Nothing is kept, so that providers' own answers come through as they are.
    asked: dict = {"instructions": "Be brief.", "input": said, "store": False}
    if case in ("tools", "tool"):
        asked["tools"] = [{"type": "function", "name": name, "description": "Looks it up", "parameters": PLACE, "strict": True} for name in TOOLS]
    if case == "schema":
        asked["text"] = {"format": {"type": "json_schema", "name": "payment", "strict": True, "schema": SCHEMA}}
    if case == "image":
        image = {"type": "input_image", "detail": "auto", "image_url": f"data:image/png;base64,{PIXEL}"}
        asked["input"] = [{"role": "user", "content": [{"type": "input_text", "text": said}, image]}]
    return asked


def _messages(case: str, said: str) -> dict:
    asked: dict = {"max_tokens": 2048, "system": "Be brief.", "messages": [{"role": "user", "content": said}]}
    if case in ("tools", "tool"):
        asked["tools"] = [{"name": name, "description": "Looks it up", "input_schema": PLACE} for name in TOOLS]
    if case == "schema":
        asked["output_config"] = {"format": {"type": "json_schema", "schema": SCHEMA}}
    if case == "image":
        source = {"type": "base64", "media_type": "image/png", "data": PIXEL}
        asked["messages"][0]["content"] = [{"type": "text", "text": said}, {"type": "image", "source": source}]
    if case == "thinking":
        asked["thinking"] = {"type": "enabled", "budget_tokens": 1024}
    return asked
