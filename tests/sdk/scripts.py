"""Scripted answers of a provider that speaks Chat, as streams."""

from __future__ import annotations

import json

from upstream import Reply, answer

USAGE = {"prompt_tokens": 10, "completion_tokens": 4, "total_tokens": 14}


def _stream(deltas: list[dict], reason: str, **how) -> Reply:
    head = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "m"}
    chunks = [head | {"choices": [{"index": 0, "delta": delta, "finish_reason": None}]} for delta in deltas]
    chunks.append(head | {"choices": [{"index": 0, "delta": {}, "finish_reason": reason}]})
    chunks.append(head | {"choices": [], "usage": USAGE})
    pieces = [f"data: {json.dumps(chunk)}\n\n".encode() for chunk in chunks] + [b"data: [DONE]\n\n"]
    return Reply(pieces, headers={"content-type": "text/event-stream"}, **how)


def says(text: str, **how) -> Reply:
    """A message, a word a chunk."""
    words = text.split(" ")
    parts = [word if at == 0 else f" {word}" for at, word in enumerate(words)]
    return _stream([{"role": "assistant", "content": ""}] + [{"content": part} for part in parts], "stop", **how)


def calls(*named: tuple[str, dict]) -> Reply:
    """Calls of tools, `call_0` and on."""
    deltas = [{"role": "assistant", "content": None}]
    for at, (name, arguments) in enumerate(named):
        function = {"name": name, "arguments": json.dumps(arguments)}
        deltas.append({"tool_calls": [{"index": at, "id": f"call_{at}", "type": "function", "function": function}]})
    return _stream(deltas, "tool_calls")


def plain(text: str) -> Reply:
    """A message that does not stream."""
    message = {"role": "assistant", "content": text}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    head = {"id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": "m"}
    return answer(200, head | {"choices": [choice], "usage": USAGE})
