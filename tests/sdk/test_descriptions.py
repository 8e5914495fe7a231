"""What Freehold itself encodes is valid by its published descriptions."""

from __future__ import annotations

import json

import pytest

import cases
import descriptions
from recordings import Recording
from upstream import answer

ENCODED = [pytest.param(*at, id=cases.script_name(*at)) for at in cases.recordings()]


def _events(body: bytes) -> list[dict]:
    return Recording("", body, stream=True).events()


def _ask(freehold, path, model, request, stream):
    if stream and path.endswith("completions"):
        request = request | {"stream_options": {"include_usage": True}}
    status, _, body = freehold.call("POST", path, request | {"model": model, "stream": stream})
    assert status == 200, body
    return body


@pytest.mark.parametrize(("spoken", "case", "stream"), ENCODED)
def test_responses_are_as_described(freehold, spoken, case, stream):
    if spoken == "responses":
        pytest.skip("the byte lane: what the provider sent")
    model = f"up-{spoken}/{cases.script_name(spoken, case, stream)}"
    body = _ask(freehold, "/v1/responses", model, cases.request("responses", case), stream)
    if stream:
        events = _events(body)
        descriptions.events(events)
        descriptions.answer(events[-1]["response"])
    else:
        descriptions.answer(json.loads(body))


@pytest.mark.parametrize(("spoken", "case", "stream"), ENCODED)
def test_chat_answers_are_as_described(freehold, spoken, case, stream):
    if spoken == "chat":
        pytest.skip("the byte lane: what the provider sent")
    model = f"up-{spoken}/{cases.script_name(spoken, case, stream)}"
    body = _ask(freehold, "/v1/chat/completions", model, cases.request("chat", case), stream)
    if stream:
        for event in _events(body):
            descriptions.openai_only("CreateChatCompletionStreamResponse", event)
    else:
        descriptions.openai_only("CreateChatCompletionResponse", json.loads(body))


@pytest.mark.parametrize("spoken", ["chat", "messages"])
def test_what_the_request_set_is_told(freehold, spoken):
    """A response repeats the request's settings, strictly shaped."""
    model = f"up-{spoken}/{cases.script_name(spoken, 'tools', False)}"
    request = cases.request("responses", "tools") | {
        "temperature": 0.5,
        "top_p": 0.9,
        "max_output_tokens": 100,
        "tool_choice": {"type": "function", "name": "get_news"},
        "parallel_tool_calls": False,
        "metadata": {"a": "b"},
        "reasoning": {"effort": "low"},
    }
    # Not every model takes all of these: what is checked is the answer's shape.
    status, _, body = freehold.call("POST", "/v1/responses", request | {"model": model})
    assert status == 200, body
    found = json.loads(body)
    descriptions.answer(found)
    assert (found["temperature"], found["max_output_tokens"], found["metadata"]) == (0.5, 100, {"a": "b"})
    assert found["store"] is False


@pytest.mark.parametrize("spoken", ["chat", "messages"])
def test_a_completed_response_says_when(freehold, spoken):
    for stream in (False, True):
        model = f"up-{spoken}/{cases.script_name(spoken, 'text', stream)}"
        body = _ask(freehold, "/v1/responses", model, cases.request("responses", "text"), stream)
        found = _events(body)[-1]["response"] if stream else json.loads(body)
        assert found["status"] == "completed"
        assert found["completed_at"] >= found["created_at"]


def test_a_failing_stream_is_as_described(freehold, upstream):
    from upstream import Reply, split_events

    recording = cases.recordings()["messages", "tools", True]
    kind = {"content-type": "text/event-stream"}
    upstream.script("described-cut", Reply(split_events(recording.body)[:6], headers=kind, cut=True))
    status, _, body = freehold.call(
        "POST", "/v1/responses", {"model": "up-messages/described-cut", "input": "x", "stream": True, "store": False}
    )
    assert status == 200
    descriptions.events(_events(body))


def test_embeddings_pass_as_they_are(freehold, upstream):
    made = {"object": "list", "model": "m", "data": [{"object": "embedding", "index": 0, "embedding": [0.5, -0.25]}],
            "usage": {"prompt_tokens": 3, "total_tokens": 3}}  # fmt: skip
    upstream.script("embedding", answer(200, made))
    status, _, body = freehold.call("POST", "/v1/embeddings", {"model": "up-chat/embedding", "input": "abc"})
    assert status == 200, body
    assert json.loads(body) == made
    descriptions.openai_only("CreateEmbeddingResponse", made)
