"""The cases of Open Responses' own compliance runner, by its names, against
the real binary with a scripted provider. The runner itself is in no registry;
what it asks and looks at is written here anew, and answers are validated
against the same description that its schemas are made of."""

from __future__ import annotations

import json
import time

import pytest
from websockets.sync.client import connect

import descriptions
from scripts import calls, plain, says
from server import ADMIN

WEATHER = {"type": "function", "name": "get_weather", "description": "Tells the weather", "parameters": {
    "type": "object", "properties": {"location": {"type": "string"}}, "required": ["location"],
}}  # fmt: skip
PIXEL = (
    "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8BQDwAEhQGAhKmMIQAAAABJRU5ErkJggg=="
)
KEYED = {"authorization": f"Bearer {ADMIN}", "content-type": "application/json"}


def message(role: str, content, **more) -> dict:
    return {"type": "message", "role": role, "content": content} | more


@pytest.fixture
def model(freehold, upstream, request):
    """A model whose answers are scripted, by the test's own name."""
    name = request.node.name
    upstream.script(name, says("one two three"))
    return lambda *replies: (upstream.script(name, *replies) if replies else None, f"up-chat/{name}")[1]


def post(freehold, body: dict, path: str = "/v1/responses", status: int = 200) -> dict:
    got, _, content = freehold.call("POST", path, body)
    assert got == status, content
    return json.loads(content)


def created(freehold, body: dict) -> dict:
    response = post(freehold, body)
    descriptions.answer(response)
    return response


def completed(response: dict) -> dict:
    assert response["status"] == "completed" and response["output"]
    return response


class Socket:
    """A client of the WebSocket form: one turn after the other."""

    def __init__(self, freehold):
        self.socket = connect(f"ws://{freehold.address}/v1/responses", additional_headers=KEYED)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def turn(self, model: str, **more) -> dict:
        """The terminal event of a turn, its events valid."""
        body = {"type": "response.create", "model": model} | more
        self.socket.send(json.dumps(body))
        events = []
        while True:
            event = json.loads(self.socket.recv(timeout=30))
            if event["type"] == "error":
                descriptions.socket_error(event)
                return event
            events.append(event)
            if event["type"] in ("response.completed", "response.failed", "response.incomplete"):
                descriptions.events(events)
                descriptions.answer(event["response"])
                return event


def of(event: dict) -> dict:
    return completed(event["response"])


def code(event: dict) -> str:
    return event["error"]["code"]


def test_basic_response(freehold, model):
    completed(created(freehold, {"model": model(), "input": [message("user", "Say hello in three words.")]}))


def test_assistant_phase(freehold, model):
    history = [
        message("assistant", "I should answer with the number.", phase="commentary"),
        message("assistant", "The number is four.", phase="final_answer"),
        message("user", "Repeat only the number."),
    ]
    completed(created(freehold, {"model": model(), "input": history}))


def test_response_output_phase_schema():
    """The runner looks at its own fixture here; so does `descriptions`."""
    schema = descriptions.schema("open-responses", "Message")
    assert "phase" in json.dumps(schema)


def test_streaming_response(freehold, model):
    body = {"model": model(), "input": [message("user", "Count from 1 to 3.")], "stream": True}
    status, headers, content = freehold.call("POST", "/v1/responses", body)
    assert status == 200 and headers["content-type"].startswith("text/event-stream")
    data = [line.removeprefix(b"data: ") for line in content.splitlines() if line.startswith(b"data: ")]
    events = [json.loads(each) for each in data if each != b"[DONE]"]
    descriptions.events(events)
    descriptions.answer(completed(events[-1]["response"]))


def test_websocket_response(freehold, model):
    with Socket(freehold) as socket:
        of(socket.turn(model(), input=[message("user", "Count from 1 to 3.")]))


def test_websocket_sequential_responses(freehold, model):
    with Socket(freehold) as socket:
        first, second = (of(socket.turn(model(), store=False, input=f"Say {word}")) for word in ("first", "second"))
        assert first["id"] != second["id"]


def test_websocket_continuation(freehold, model, upstream, request):
    with Socket(freehold) as socket:
        first = of(socket.turn(model(), store=False, input="Remember cobalt. Reply with OK."))
        of(socket.turn(model(), store=False, previous_response_id=first["id"], input="What is the word?"))
    said = upstream.scripts[request.node.name].asked[-1].body["messages"]
    assert [m["content"] for m in said] == ["Remember cobalt. Reply with OK.", "one two three", "What is the word?"]


def test_websocket_reconnect_store_false_recovery(freehold, model):
    with Socket(freehold) as socket:
        first = of(socket.turn(model(), store=False, input="Remember copper. Reply with OK."))
    with Socket(freehold) as socket:
        lost = socket.turn(model(), store=False, previous_response_id=first["id"], input="Go on.")
        assert code(lost) == "previous_response_not_found"
        of(socket.turn(model(), store=False, input=[message("user", "Begin anew.")]))


def test_websocket_previous_response_not_found(freehold, model):
    with Socket(freehold) as socket:
        missing = f"resp_openresponses_missing_{time.time_ns()}"
        lost = socket.turn(model(), store=False, previous_response_id=missing, input="This should fail.")
        assert code(lost) == "previous_response_not_found"


def test_websocket_failed_continuation_evicts_cache(freehold, model):
    with Socket(freehold) as socket:
        first = of(socket.turn(model(), store=False, input="Remember ember. Reply with OK."))
        orphan = {"type": "function_call_output", "call_id": "call_openresponses_missing", "output": "nothing"}
        failed = socket.turn(model(), store=False, previous_response_id=first["id"], input=[orphan])
        assert failed["type"] == "error" or failed["response"]["status"] == "failed"
        retried = socket.turn(model(), store=False, previous_response_id=first["id"], input="Go on.")
        assert code(retried) == "previous_response_not_found"


def test_what_a_provider_refuses_is_forgotten_too(freehold, model):
    """The same, where it is not Freehold that finds the turn wrong."""
    from upstream import answer

    refused = answer(400, {"error": {"message": "no", "type": "invalid_request_error"}})
    name = model(says("OK"), refused, says("stale"))
    with Socket(freehold) as socket:
        first = of(socket.turn(name, store=False, input="Remember ember."))
        assert socket.turn(name, store=False, previous_response_id=first["id"], input="x")["type"] == "error"
        retried = socket.turn(name, store=False, previous_response_id=first["id"], input="Go on.")
        assert code(retried) == "previous_response_not_found"


def test_websocket_compact_new_chain(freehold, model):
    name = model(plain("The word is slate."), says("compacted"))
    talk = [
        message("user", [{"type": "input_text", "text": "Remember slate."}]),
        message("assistant", [{"type": "output_text", "text": "OK."}]),
        message("user", [{"type": "input_text", "text": "Compress this."}]),
    ]
    compacted = post(freehold, {"model": name, "input": talk}, "/v1/responses/compact")
    descriptions.compacted(compacted)
    with Socket(freehold) as socket:
        more = [*compacted["output"], message("user", "Continue.")]
        of(socket.turn(name, store=False, input=more, tools=[]))


def test_system_prompt(freehold, model):
    talk = [message("system", "You are a pirate."), message("user", "Say hello.")]
    completed(created(freehold, {"model": model(), "input": talk}))


def test_tool_calling(freehold, model):
    name = model(calls(("get_weather", {"location": "San Francisco, CA"})))
    asked = {"model": name, "input": [message("user", "What is the weather?")], "tools": [WEATHER]}
    response = created(freehold, asked)
    assert [item["type"] for item in response["output"]] == ["function_call"]


def test_tool_calling_streaming(freehold, model):
    name = model(calls(("get_weather", {"location": "San Francisco, CA"})))
    body = {"model": name, "input": "What is the weather?", "tools": [WEATHER], "stream": True}
    _, _, content = freehold.call("POST", "/v1/responses", body)
    data = [line.removeprefix(b"data: ") for line in content.splitlines() if line.startswith(b"data: {")]
    events = [json.loads(each) for each in data]
    descriptions.events(events)
    kinds = [e["type"] for e in events]
    assert "response.function_call_arguments.delta" in kinds and "response.function_call_arguments.done" in kinds
    items = [e["item"]["type"] for e in events if e["type"].startswith("response.output_item.")]
    assert items == ["function_call", "function_call"]


def test_function_call_roundtrip(freehold, model):
    name = model(calls(("get_weather", {"location": "San Francisco, CA"})), says("It is mild."))
    choice = {"type": "function", "name": "get_weather"}
    first = created(freehold, {"model": name, "input": "Use the tool.", "tools": [WEATHER], "tool_choice": choice})
    (call,) = first["output"]
    result = {"type": "function_call_output", "call_id": call["call_id"], "output": '{"celsius":18}'}
    talk = [message("user", "Use the tool."), call, result]
    completed(created(freehold, {"model": name, "input": talk, "tools": [WEATHER]}))


def test_previous_response_id(freehold, model):
    name = model()
    first = completed(created(freehold, {"model": name, "input": "Remember papaya. Reply with OK."}))
    asked = {"model": name, "previous_response_id": first["id"], "input": "Which word?"}
    completed(created(freehold, asked))


def test_image_input(freehold, model):
    content = [{"type": "input_text", "text": "What is it?"}, {"type": "input_image", "image_url": PIXEL}]
    completed(created(freehold, {"model": model(), "input": [message("user", content)]}))


def test_multi_turn(freehold, model):
    talk = [message("user", "I am Alice."), message("assistant", "Hello Alice!"), message("user", "Who am I?")]
    completed(created(freehold, {"model": model(), "input": talk}))


def test_compact_response(freehold, model):
    name = model(plain("Launch on Tuesday; tell support first."))
    talk = [message("user", "We launch on Tuesday and tell support first."), message("assistant", "Understood.")]
    body = {"model": name, "prompt_cache_key": "compact-test", "input": talk}
    compacted = post(freehold, body, "/v1/responses/compact")
    descriptions.compacted(compacted)
    assert compacted["object"] == "response.compaction"
    assert "compaction" in [item["type"] for item in compacted["output"]]


def test_compact_missing_model(freehold):
    post(freehold, {"input": [message("user", "Compact this.")]}, "/v1/responses/compact", status=400)
