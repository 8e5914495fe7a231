"""Tools of a real MCP server in responses with state, through the official
SDK; the server is killed and started again in the middle."""

from __future__ import annotations

import json

import openai
import pytest

import descriptions
from mcp_server import ALLOWED, Rooms
from scripts import calls, says
from server import eventually
from test_sessions import checked, restart, sdk
from upstream import answer

TOKEN = "a-token-that-nobody-keeps"


@pytest.fixture
def rooms():
    made = Rooms()
    yield made
    made.close()


@pytest.fixture
def server(own):
    return own(ALLOWED)


def tool(rooms: Rooms, **more) -> dict:
    return {"type": "mcp", "server_label": "rooms", "server_url": rooms.url} | more


def call(name: str, room: str) -> tuple[str, dict]:
    return (f"mcp__rooms__{name}", {"room": room})


def kinds(value: dict) -> list[str]:
    return [item["type"] for item in value["output"]]


def last_results(script) -> list[str]:
    """What the model was last told of its calls."""
    return [json.dumps(m["content"]) for m in script.asked[-1].body["messages"] if m["role"] == "tool"]


def test_what_a_server_lists_is_shown_once_and_its_tools_are_called(server, upstream, rooms):
    script = upstream.script("mcp-look", calls(call("look", "blue")), says("It is free."), says("Still."))
    given = tool(rooms, require_approval="never", authorization=TOKEN, allowed_tools=["look", "book"])
    stream = sdk(server).responses.create(model="up-chat/mcp-look", input="Is blue free?", tools=[given], stream=True)
    live = [event.to_dict(mode="json") for event in stream]
    descriptions.events(live)
    about_list = [e["type"] for e in live if "list_tools" in e["type"]]
    assert about_list == ["response.mcp_list_tools.in_progress", "response.mcp_list_tools.completed"]
    done = live[-1]["response"]
    descriptions.answer(done)
    assert kinds(done) == ["mcp_list_tools", "mcp_call", "message"]
    listed, called, _ = done["output"]
    assert [t["name"] for t in listed["tools"]] == ["look", "book"]
    assert listed["tools"][0]["input_schema"]["required"] == ["room"] and listed["server_label"] == "rooms"
    assert (called["name"], called["status"], called["output"]) == ("look", "completed", "blue is free")
    restart(server)
    client = sdk(server)
    assert checked(client.responses.retrieve(done["id"])) == done
    again = [e.to_dict(mode="json") for e in client.responses.retrieve(done["id"], stream=True)]
    assert again == live
    second = client.responses.create(
        model="up-chat/mcp-look", input="And now?", tools=[given], previous_response_id=done["id"]
    )
    assert kinds(checked(second)) == ["message"], "a chain shows a list once"
    assert "blue is free" in last_results(script)[0]
    assert rooms.shown == {f"Bearer {TOKEN}"}


def test_a_credential_is_kept_nowhere_in_clear_and_never_told(server, upstream, rooms):
    upstream.script("mcp-secret", calls(call("look", "blue")), says("It is free."))
    given = tool(rooms, require_approval="never", authorization=TOKEN, headers={"x-other": TOKEN + "-2"})
    client = sdk(server)
    response = client.responses.create(model="up-chat/mcp-secret", input="x", tools=[given])
    assert TOKEN not in json.dumps(checked(response))
    (session,) = server.get("/v1/freehold/sessions")["data"]
    assert TOKEN not in json.dumps(server.get(f"/v1/freehold/sessions/{session['id']}/journal?limit=256"))
    server.stop()
    kept = [path for path in server.data.rglob("*") if path.is_file()]
    assert kept and all(TOKEN.encode() not in path.read_bytes() for path in kept)
    assert TOKEN not in (server.folder / "log").read_text()
    server.start()


def test_an_approval_is_asked_for_decided_and_kept_over_restarts(server, upstream, rooms):
    script = upstream.script("mcp-ask", calls(call("book", "red")), says("Booked."))
    client = sdk(server)
    first = client.responses.create(model="up-chat/mcp-ask", input="Book red.", tools=[tool(rooms)])
    value = checked(first)
    assert kinds(value) == ["mcp_list_tools", "mcp_approval_request"]
    request = value["output"][1]
    assert (request["name"], json.loads(request["arguments"])) == ("book", {"room": "red"})
    assert rooms.booked == []
    restart(server)
    client = sdk(server)
    assert checked(client.responses.retrieve(first.id)) == value
    for wrong in ("mcpr_x", request["id"][:-1] + ("0" if request["id"][-1] != "0" else "1")):
        response = {"type": "mcp_approval_response", "approval_request_id": wrong, "approve": True}
        with pytest.raises(openai.BadRequestError):
            client.responses.create(model="up-chat/mcp-ask", input=[response], previous_response_id=first.id)
    yes = {"type": "mcp_approval_response", "approval_request_id": request["id"], "approve": True}
    stream = client.responses.create(
        model="up-chat/mcp-ask", input=[yes], tools=[tool(rooms)], previous_response_id=first.id, stream=True
    )
    live = [event.to_dict(mode="json") for event in stream]
    descriptions.events(live)
    done = live[-1]["response"]
    descriptions.answer(done)
    assert kinds(done) == ["mcp_call", "message"]
    assert done["output"][0]["approval_request_id"] == request["id"]
    assert rooms.booked == ["red"] and "red is booked" in last_results(script)[0]
    restart(server)
    client = sdk(server)
    assert checked(client.responses.retrieve(done["id"])) == done
    items = client.responses.input_items.list(done["id"]).to_dict(mode="json")["data"]
    assert [(i["type"], i["approve"]) for i in items] == [("mcp_approval_response", True)]
    with pytest.raises(openai.BadRequestError):
        client.responses.create(model="up-chat/mcp-ask", input=[yes], previous_response_id=done["id"])
    assert rooms.booked == ["red"]


def test_a_denied_call_is_not_made_and_the_model_hears_why(server, upstream, rooms):
    script = upstream.script("mcp-deny", calls(call("book", "red")), says("Then not."))
    client = sdk(server)
    first = client.responses.create(model="up-chat/mcp-deny", input="Book red.", tools=[tool(rooms)])
    request = first.output[-1]
    restart(server)
    no = {"type": "mcp_approval_response", "approval_request_id": request.id, "approve": False, "reason": "red is mine"}
    second = sdk(server).responses.create(model="up-chat/mcp-deny", input=[no], previous_response_id=first.id)
    assert kinds(checked(second)) == ["message"]
    assert rooms.booked == [] and "red is mine" in last_results(script)[0]


def test_only_what_is_named_is_asked_about(server, upstream, rooms):
    upstream.script("mcp-some", calls(call("look", "red"), call("book", "red")), says("Done."))
    asks = {"always": {"tool_names": ["book"]}}
    client = sdk(server)
    first = client.responses.create(model="up-chat/mcp-some", input="x", tools=[tool(rooms, require_approval=asks)])
    assert kinds(checked(first)) == ["mcp_list_tools", "mcp_approval_request", "mcp_call"]
    assert first.output[1].name == "book" and first.output[2].output == "red is free"


def test_a_call_that_a_crash_cut_is_not_repeated(server, upstream, rooms):
    upstream.script("mcp-cut", calls(call("slow", "red")), says("I do not know."))
    given = tool(rooms, require_approval="never")
    client = sdk(server)
    response = client.responses.create(model="up-chat/mcp-cut", input="x", tools=[given], background=True)
    eventually("the call", lambda: rooms.together)
    restart(server)
    client = sdk(server)
    done = eventually("the end", lambda: (r := client.responses.retrieve(response.id)).status == "completed" and r, 30)
    value = checked(done)
    called = next(item for item in value["output"] if item["type"] == "mcp_call")
    assert called["status"] == "failed" and "unknown whether it ran" in json.dumps(called["error"])


def test_as_many_calls_are_made_as_the_request_allows(server, upstream, rooms):
    wanted = [call("book", room) for room in ("red", "blue", "green")]
    script = upstream.script("mcp-max", calls(*wanted), calls(call("book", "gold")), says("Two."), says("Three."))
    given = tool(rooms, require_approval="never")
    client = sdk(server)
    first = client.responses.create(model="up-chat/mcp-max", input="x", tools=[given], max_tool_calls=2)
    value = checked(first)
    assert value["max_tool_calls"] == 2
    assert kinds(value) == ["mcp_list_tools", "mcp_call", "mcp_call", "message"]
    assert sorted(rooms.booked) == ["blue", "red"]
    assert "as many tools were called" in last_results(script)[-1]
    for wrong in (0, -1, "two"):
        with pytest.raises(openai.BadRequestError):
            client.responses.create(model="up-chat/mcp-max", input="x", tools=[given], max_tool_calls=wrong)


@pytest.mark.parametrize("parallel", [False, True])
def test_calls_run_beside_each_other_only_where_the_request_allows_it(server, upstream, rooms, parallel):
    script = upstream.script("mcp-together", calls(call("slow", "red"), call("slow", "blue")), says("Clean."))
    given = tool(rooms, require_approval="never")
    response = sdk(server).responses.create(
        model="up-chat/mcp-together", input="x", tools=[given], parallel_tool_calls=parallel
    )
    value = checked(response)
    assert value["parallel_tool_calls"] is parallel
    assert script.asked[0].body["parallel_tool_calls"] is parallel
    assert [item["output"] for item in value["output"][1:3]] == ["red is clean", "blue is clean"]
    assert rooms.together == (2 if parallel else 1)


def test_a_server_that_cannot_be_listed_is_told_and_the_turn_goes_on(server, upstream):
    upstream.script("mcp-gone", says("I have no tools."))
    given = {"type": "mcp", "server_label": "gone", "server_url": "http://127.0.0.1:9/mcp"}
    stream = sdk(server).responses.create(model="up-chat/mcp-gone", input="x", tools=[given], stream=True)
    live = [event.to_dict(mode="json") for event in stream]
    descriptions.events(live)
    assert "response.mcp_list_tools.failed" in [e["type"] for e in live]
    value = live[-1]["response"]
    descriptions.answer(value)
    assert kinds(value) == ["mcp_list_tools", "message"] and value["output"][0]["error"]


def test_items_of_tools_are_items_of_the_conversation(server, upstream, rooms):
    upstream.script("mcp-talk", calls(call("look", "blue")), says("It is free."))
    client = sdk(server)
    conversation = client.conversations.create()
    given = tool(rooms, require_approval="never")
    response = client.responses.create(
        model="up-chat/mcp-talk", input="Is blue free?", tools=[given], conversation=conversation.id
    )
    restart(server)
    items = list(sdk(server).conversations.items.list(conversation.id, order="asc"))
    assert [item.type for item in items] == ["message", "mcp_list_tools", "mcp_call", "message"]
    assert [item.id for item in items[1:]] == [item.id for item in response.output]
    one = sdk(server).conversations.items.retrieve(items[1].id, conversation_id=conversation.id)
    assert one == items[1]


def test_a_request_with_a_credential_that_is_sent_twice_happens_once(server, upstream, rooms):
    script = upstream.script("mcp-once", calls(call("book", "red")), says("Booked."))
    asked = {"model": "up-chat/mcp-once", "input": "x", "extra_headers": {"Idempotency-Key": "k"}}
    asked["tools"] = [tool(rooms, require_approval="never", authorization=TOKEN)]
    first = sdk(server).responses.create(**asked)
    restart(server)
    assert checked(sdk(server).responses.create(**asked)) == checked(first)
    assert rooms.booked == ["red"] and len(script.asked) == 2


def too_long():
    return answer(400, {"error": {
        "message": "too many tokens", "type": "invalid_request_error", "code": "context_length_exceeded", "param": "input",
    }})  # fmt: skip


def test_what_a_model_does_not_take_is_left_out_only_where_that_is_allowed(server, upstream):
    script = upstream.script("long", too_long(), too_long(), says("Short enough."), too_long())
    talk = [{"role": "user", "content": f"{n} " + "word " * 200} for n in range(9)]
    client = sdk(server)
    response = client.responses.create(model="up-chat/long", input=talk, truncation="auto")
    value = checked(response)
    assert value["truncation"] == "auto" and response.output_text == "Short enough."
    shown = [len(asked.body["messages"]) for asked in script.asked]
    assert shown[0] == 9 and shown[0] > shown[1] > shown[2]
    assert script.asked[2].body["messages"][-1]["content"].startswith("8 ")
    for truncation in ("disabled", None):
        with pytest.raises(openai.APIStatusError) as error:
            client.responses.create(model="up-chat/long", input=talk, truncation=truncation)
        assert "too many tokens" in error.value.message
    with pytest.raises(openai.BadRequestError):
        client.responses.create(model="up-chat/long", input="x", truncation="middle")


def test_what_is_only_added_to_a_conversation_asks_nobody(server, upstream):
    script = upstream.script("aside", says("Noted."))
    client = sdk(server)
    conversation = client.conversations.create(items=[{"role": "user", "content": "I am Ada."}])
    client.conversations.items.create(conversation.id, items=[{"role": "assistant", "content": "Hello Ada."}])
    (session,) = server.get("/v1/freehold/sessions")["data"]
    journal = server.get(f"/v1/freehold/sessions/{session['id']}/journal?limit=256")["data"]
    assert [event["kind"] for event in journal] == ["session_created", "input_accepted", "input_accepted"]
    assert not script.asked
    restart(server)
    counted = sdk(server).responses.input_tokens.count(
        model="up-chat/aside", input="Who am I?", conversation=conversation.id
    )
    assert counted.input_tokens >= 1 and counted.object == "response.input_tokens"
    sdk(server).responses.create(model="up-chat/aside", input="Who am I?", conversation=conversation.id)
    said = [(m["role"], m["content"]) for m in script.asked[-1].body["messages"]]
    assert said == [("user", "I am Ada."), ("assistant", "Hello Ada."), ("user", "Who am I?")]
