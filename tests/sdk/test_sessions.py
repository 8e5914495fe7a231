"""Responses with state, through the official SDK; the server is killed and
started again in the middle of each."""

from __future__ import annotations

import json
import time

import openai
import pytest

import clients
import descriptions
from scripts import calls, plain, says
from server import ADMIN, eventually

TOOL = {"type": "function", "name": "temperature", "description": "Tells it", "parameters": {
    "type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"], "additionalProperties": False,
}, "strict": True}  # fmt: skip


@pytest.fixture
def server(own):
    return own()


def restart(server):
    server.kill()
    server.start()


def sdk(server) -> openai.OpenAI:
    return clients.open_ai(server.url, ADMIN)


def checked(response) -> dict:
    value = response.to_dict(mode="json")
    descriptions.answer(value)
    return value


def said(script) -> list[str]:
    """What the provider was last shown, as (role, content)."""
    return [(m["role"], m.get("content")) for m in script.asked[-1].body["messages"]]


def test_a_response_goes_on_from_another(server, upstream):
    script = upstream.script("chain", says("I am Ada."), says("You asked twice."))
    first = sdk(server).responses.create(model="up-chat/chain", input="Who are you?", instructions="Be brief.")
    value = checked(first)
    assert value["store"] is True and value["output"][0]["content"][0]["text"] == "I am Ada."
    assert first.usage.total_tokens == 14
    restart(server)
    client = sdk(server)
    assert checked(client.responses.retrieve(first.id)) == value
    second = client.responses.create(model="up-chat/chain", input="And now?", previous_response_id=first.id)
    assert checked(second)["previous_response_id"] == first.id
    assert [content for _, content in said(script)] == ["Who are you?", "I am Ada.", "And now?"]
    assert script.asked[-1].body.get("store") in (None, False)


def test_a_stream_is_as_described_and_the_same_when_told_again(server, upstream):
    upstream.script("told", says("one two three four"))
    stream = sdk(server).responses.create(model="up-chat/told", input="count", stream=True)
    live = [event.to_dict(mode="json") for event in stream]
    descriptions.events(live)
    assert live[-1]["response"]["output"][0]["content"][0]["text"] == "one two three four"
    response = live[0]["response"]["id"]
    restart(server)
    again = [e.to_dict(mode="json") for e in sdk(server).responses.retrieve(response, stream=True)]
    assert again == live
    at = live[4]["sequence_number"]
    rest = [e.to_dict(mode="json") for e in sdk(server).responses.retrieve(response, stream=True, starting_after=at)]
    assert rest == live[5:]
    assert checked(sdk(server).responses.retrieve(response)) == live[-1]["response"]


def test_a_background_stream_is_taken_up_where_it_was_cut(server, upstream):
    upstream.script("cut", says("a b c d e f g h", pause=0.15))
    client = sdk(server)
    stream = client.responses.create(model="up-chat/cut", input="spell", stream=True, background=True)
    seen = []
    for event in stream:
        seen.append(event.to_dict(mode="json"))
        if event.type == "response.output_text.delta":
            break
    stream.close()
    assert [e["type"] for e in seen[:3]] == ["response.created", "response.queued", "response.in_progress"]
    restart(server)
    response, last = seen[0]["response"]["id"], seen[-1]["sequence_number"]
    rest = [e.to_dict(mode="json") for e in sdk(server).responses.retrieve(response, stream=True, starting_after=last)]
    whole = seen + rest
    descriptions.events(whole)
    assert whole[-1]["type"] == "response.completed"
    message = whole[-1]["response"]["output"][-1]
    assert message["content"][0]["text"] == "a b c d e f g h"


def test_background_work_outlives_its_client_and_its_server(server, upstream):
    upstream.script("long", says("it took a while", wait=1.0))
    response = sdk(server).responses.create(model="up-chat/long", input="work", background=True)
    assert response.status in ("queued", "in_progress")
    restart(server)
    client = sdk(server)
    done = eventually("the end", lambda: (r := client.responses.retrieve(response.id)).status == "completed" and r, 20)
    assert checked(done)["output"][-1]["content"][0]["text"] == "it took a while"


def test_cancel_reaches_the_provider_and_is_kept(server, upstream):
    script = upstream.script("stop", says("a b c d e f g h i j k l m n o p", pause=0.3))
    client = sdk(server)
    response = client.responses.create(model="up-chat/stop", input="count", background=True)
    eventually("the first words", lambda: client.responses.retrieve(response.id).output)
    cancelled = client.responses.cancel(response.id)
    assert checked(cancelled)["status"] == "cancelled"
    assert script.asked[0].closed.wait(5)
    restart(server)
    again = sdk(server).responses.retrieve(response.id)
    assert checked(again) == cancelled.to_dict(mode="json")
    assert checked(sdk(server).responses.cancel(response.id))["status"] == "cancelled"


def test_a_client_that_goes_away_cancels_what_it_waited_for(server, upstream):
    script = upstream.script("away", says("a b c d e f g h i j k l m n o p", pause=0.3))
    stream = sdk(server).responses.create(model="up-chat/away", input="count", stream=True)
    response = next(iter(stream)).response.id
    for event in stream:
        if event.type == "response.output_text.delta":
            break
    stream.close()
    assert script.asked[0].closed.wait(10)
    client = sdk(server)
    eventually("the end", lambda: client.responses.retrieve(response).status == "cancelled")


def test_a_client_tool_waits_for_its_result_as_long_as_it_takes(server, upstream):
    script = upstream.script("tool", calls(("temperature", {"city": "Paris"})), says("18 degrees."))
    client = sdk(server)
    first = client.responses.create(model="up-chat/tool", input="How warm is Paris?", tools=[TOOL])
    call = checked(first)["output"][0]
    assert (call["type"], call["status"], json.loads(call["arguments"])) == ("function_call", "completed", {"city": "Paris"})
    restart(server)
    client = sdk(server)
    with pytest.raises(openai.BadRequestError) as error:
        client.responses.create(model="up-chat/tool", input="well?", previous_response_id=first.id)
    assert error.value.code == "tool_result_missing" and call["call_id"] in error.value.message
    output = {"type": "function_call_output", "call_id": call["call_id"], "output": "18"}
    with pytest.raises(openai.BadRequestError):
        wrong = output | {"call_id": "call_99"}
        client.responses.create(model="up-chat/tool", input=[wrong], previous_response_id=first.id)
    second = client.responses.create(
        model="up-chat/tool", input=[output], previous_response_id=first.id, tools=[TOOL]
    )
    assert checked(second)["output"][0]["content"][0]["text"] == "18 degrees."
    (result,) = (m for m in script.asked[-1].body["messages"] if m["role"] == "tool")
    assert result["tool_call_id"] == "call_0" and "18" in json.dumps(result["content"])
    items = client.responses.input_items.list(second.id, order="asc").to_dict(mode="json")
    assert [(i["type"], i["call_id"], i["output"]) for i in items["data"]] == [("function_call_output", "call_0", "18")]


def test_an_older_response_can_be_gone_on_from(server, upstream):
    script = upstream.script("fork", says("one"), says("two"), says("other"))
    client = sdk(server)
    first = client.responses.create(model="up-chat/fork", input="1")
    second = client.responses.create(model="up-chat/fork", input="2", previous_response_id=first.id)
    restart(server)
    client = sdk(server)
    other = client.responses.create(model="up-chat/fork", input="3", previous_response_id=first.id)
    assert [content for _, content in said(script)] == ["1", "one", "3"]
    assert checked(other)["output"][0]["content"][0]["text"] == "other"
    assert client.responses.retrieve(second.id).output_text == "two"


def test_input_items_are_listed_by_the_page(server, upstream):
    upstream.script("items", says("fine"))
    client = sdk(server)
    said = [{"role": "user", "content": str(n)} for n in range(5)]
    response = client.responses.create(model="up-chat/items", input=said)
    restart(server)
    client = sdk(server)
    page = client.responses.input_items.list(response.id, limit=2, order="asc")
    texts = [item.content[0].text for item in page]
    assert texts == ["0", "1", "2", "3", "4"]
    newest = client.responses.input_items.list(response.id, limit=1)
    assert newest.data[0].content[0].text == "4" and newest.has_more


def test_a_conversation_gathers_what_is_said_in_it(server, upstream):
    script = upstream.script("talk", says("hello Ada"), says("your name is Ada"))
    client = sdk(server)
    conversation = client.conversations.create(
        metadata={"topic": "names"}, items=[{"type": "message", "role": "user", "content": "I am Ada."}]
    )
    assert conversation.metadata == {"topic": "names"}
    first = client.responses.create(model="up-chat/talk", input="Hi.", conversation=conversation.id)
    assert first.conversation.id == conversation.id
    assert ("user", "I am Ada.") in said(script)
    restart(server)
    client = sdk(server)
    checked(client.responses.create(model="up-chat/talk", input="Who am I?", conversation={"id": conversation.id}))
    items = list(client.conversations.items.list(conversation.id, order="asc", limit=2))
    texts = [item.content[0].text for item in items]
    assert texts == ["I am Ada.", "Hi.", "hello Ada", "Who am I?", "your name is Ada"]
    back = list(client.conversations.items.list(conversation.id, limit=2))
    assert [item.id for item in back] == [item.id for item in items][::-1]
    one = client.conversations.items.retrieve(items[2].id, conversation_id=conversation.id)
    assert one == items[2] and one.id == first.output[0].id
    added = client.conversations.items.create(conversation.id, items=[{"role": "user", "content": "by the way"}])
    assert added.data[0].content[0].text == "by the way"
    updated = client.conversations.update(conversation.id, metadata={"topic": "none"})
    assert client.conversations.retrieve(conversation.id) == updated
    assert client.conversations.delete(conversation.id).deleted
    with pytest.raises(openai.NotFoundError):
        client.conversations.retrieve(conversation.id)
    with pytest.raises(openai.NotFoundError):
        client.responses.retrieve(first.id)


def test_what_is_busy_says_so(server, upstream):
    upstream.script("busy", says("a b c d e f g h", pause=0.3))
    client = sdk(server)
    conversation = client.conversations.create()
    running = client.responses.create(
        model="up-chat/busy", input="x", conversation=conversation.id, background=True
    )
    with pytest.raises(openai.ConflictError):
        client.responses.create(model="up-chat/busy", input="y", conversation=conversation.id)
    with pytest.raises(openai.ConflictError):
        client.responses.create(model="up-chat/busy", input="y", previous_response_id=running.id)
    client.responses.cancel(running.id)


def test_a_response_is_deleted(server, upstream):
    upstream.script("gone", says("one"), says("two"))
    client = sdk(server)
    first = client.responses.create(model="up-chat/gone", input="1")
    second = client.responses.create(model="up-chat/gone", input="2", previous_response_id=first.id)
    client.responses.delete(first.id)
    restart(server)
    client = sdk(server)
    with pytest.raises(openai.NotFoundError):
        client.responses.retrieve(first.id)
    assert client.responses.retrieve(second.id).output_text == "two"
    with pytest.raises(openai.BadRequestError) as error:
        client.responses.create(model="up-chat/gone", input="3", previous_response_id=first.id)
    assert error.value.code == "previous_response_not_found"
    client.responses.delete(second.id)
    assert server.get("/v1/freehold/sessions")["data"] == []


def test_a_request_that_is_sent_twice_happens_once(server, upstream):
    script = upstream.script("once", says("once"))
    client = sdk(server)
    headers = {"Idempotency-Key": "k1"}
    first = client.responses.create(model="up-chat/once", input="x", extra_headers=headers)
    restart(server)
    again = sdk(server).responses.create(model="up-chat/once", input="x", extra_headers=headers)
    assert checked(again) == checked(first)
    assert len(script.asked) == 1
    with pytest.raises(openai.ConflictError) as error:
        sdk(server).responses.create(model="up-chat/once", input="other", extra_headers=headers)
    assert error.value.code == "idempotency.reused"


def test_nobody_else_learns_of_a_response(server, upstream):
    upstream.script("mine", says("mine"))
    response = sdk(server).responses.create(model="up-chat/mine", input="x")
    key = server.key("--name", "other", "--tenant", "other")["key"]
    other = clients.open_ai(server.url, key)
    missing = response.id[:-1] + "f"
    told = []
    for id in (response.id, missing, "resp_x"):
        with pytest.raises(openai.NotFoundError) as error:
            other.responses.retrieve(id)
        told.append(error.value.message.replace(id, "ID"))
        with pytest.raises(openai.BadRequestError) as error:
            other.responses.create(model="up-chat/mine", input="x", previous_response_id=id)
        assert error.value.code == "previous_response_not_found"
    assert len(set(told)) == 1


def test_compaction_gives_a_conversation_that_goes_on(server, upstream):
    script = upstream.script("compact", plain("The user is Ada."))
    client = sdk(server)
    talk = [{"role": "user", "content": "I am Ada."}, {"role": "assistant", "content": "Hello."}]
    compacted = client.responses.compact(model="up-chat/compact", input=talk).to_dict(mode="json")
    descriptions.compacted(compacted)
    assert [item["type"] for item in compacted["output"]] == ["message", "compaction"]
    restart(server)
    client = sdk(server)
    for store in (False, True):
        upstream.script("compact", plain("You are Ada."))
        more = compacted["output"] + [{"role": "user", "content": "Who am I?"}]
        answer = client.responses.create(model="up-chat/compact", input=more, store=store)
        assert answer.output_text == "You are Ada."
        asked = json.dumps(upstream.scripts["compact"].asked[-1].body)
        assert "The user is Ada." in asked and "encrypted_content" not in asked
    assert script.asked


def test_tokens_are_counted(server):
    counted = sdk(server).responses.input_tokens.count(model="up-chat/any", input="four words are here")
    assert 1 <= counted.input_tokens <= 50


def test_a_failed_turn_raises_and_is_kept(server, upstream):
    from upstream import answer

    upstream.script("fails", answer(400, {"error": {"message": "no such thing", "type": "invalid_request_error"}}))
    client = sdk(server)
    with pytest.raises(openai.APIStatusError) as error:
        client.responses.create(model="up-chat/fails", input="x")
    assert error.value.status_code == 502 and "no such thing" in error.value.message
    response = error.value.message.split("kept as ")[1].split(")")[0]
    assert checked(client.responses.retrieve(response))["status"] == "failed"
    with pytest.raises(openai.APIError):
        list(client.responses.create(model="up-chat/fails", input="x", stream=True))


def test_over_a_websocket(server, upstream):
    from websockets.sync.client import connect

    script = upstream.script("socket", says("one"), says("two"), says("three"), says("four"))
    address = f"ws://{server.address}/v1/responses"
    keyed = {"authorization": f"Bearer {ADMIN}"}

    def turn(socket, **more) -> list[dict]:
        socket.send(json.dumps({"type": "response.create", "model": "up-chat/socket"} | more))
        events = []
        while not events or events[-1]["type"] not in ("response.completed", "error"):
            events.append(json.loads(socket.recv(timeout=20)))
        return events

    for store in (True, False):
        with connect(address, additional_headers=keyed) as socket:
            first = turn(socket, input="1", store=store)
            descriptions.events(first)
            id = first[-1]["response"]["id"]
            second = turn(socket, input="2", store=store, previous_response_id=id)
            descriptions.events(second)
            contents = [content for _, content in said(script)]
            assert contents[-1] == "2" and len(contents) == 3
        with connect(address, additional_headers=keyed) as socket:
            last = second[-1]["response"]["id"]
            if not store:
                (refused,) = turn(socket, input="3", store=False, previous_response_id=last)
                assert (refused["type"], refused["status"]) == ("error", 400)
                assert refused["error"]["code"] == "previous_response_not_found"


def test_a_websocket_may_be_silent_for_longer_than_a_request(own, upstream):
    from websockets.sync.client import connect

    server = own("[server]\nheader_timeout_ms = 1000\nkeep_alive_ms = 1000\n")
    upstream.script("silent", says("still here"))
    keyed = {"authorization": f"Bearer {ADMIN}"}
    with connect(f"ws://{server.address}/v1/responses", additional_headers=keyed) as socket:
        for _ in range(2):
            socket.send(json.dumps({"type": "response.create", "model": "up-chat/silent", "input": "x"}))
            while json.loads(socket.recv(timeout=10))["type"] != "response.completed":
                pass
            time.sleep(2.5)


def test_a_stream_of_the_journal_goes_on_from_any_cursor(server, upstream):
    upstream.script("journal", says("a b c"))
    sdk(server).responses.create(model="up-chat/journal", input="x")
    (session,) = server.get("/v1/freehold/sessions")["data"]
    path = f"/v1/freehold/sessions/{session['id']}"
    whole = server.get(f"{path}/journal?limit=256")["data"]
    assert [event["offset"] for event in whole] == list(range(1, len(whole) + 1))
    restart(server)
    page = server.get(f"{path}/stream?wait=1&after=3")
    assert page["data"] == whole[3:]
    again = server.get(f"{path}/stream?wait=1&after={page['next']}")
    assert again["data"] == [] and again["next"] == page["next"]
    status, _, body = server.call("GET", f"{path}/stream?wait=1&after=9-3")
    assert (status, json.loads(body)["code"]) == (409, "cursor.lost")
    stats = server.get(f"{path}/stats")
    assert stats["all"]["events"] == len(whole) and len(stats["turns"]) == 1


def test_a_session_is_talked_with_from_the_command_line(server, upstream):
    upstream.script("cli", says("hello there"), says("still here"), says("timer said"))
    session = server.command("sessions", "new", "--model", "up-chat/cli", "hi").strip()
    done = lambda: server.get(f"/v1/freehold/sessions/{session}")["phase"] == "idle"  # noqa: E731
    eventually("the first turn", done)
    restart(server)
    server.command("sessions", "say", session, "more")
    eventually("the second turn", lambda: "still here" in server.command("sessions", "journal", session))
    server.command("sessions", "timers", "set", session, "--in", "1", "wake up")
    assert "timer_" in server.command("sessions", "timers", "list", session)
    eventually("the timer", lambda: "timer said" in server.command("sessions", "journal", session))
    shown = server.command("sessions", "show", session)
    assert "idle" in shown
    forked = server.command("sessions", "fork", session).strip()
    assert forked.startswith("sess_") and forked != session
    assert session in server.command("sessions", "list")
    url = server.command("sessions", "webhook", session, "ring").strip()
    token = url.rsplit("/", 1)[1]
    status, _, _ = server.call("POST", f"/v1/freehold/webhooks/{token}", {"a": 1}, key=None)
    assert status == 200
    status, _, _ = server.call("POST", f"/v1/freehold/webhooks/{token[:-1]}{'ab'[token[-1] == 'a']}", {"a": 1}, key=None)
    assert status == 404
    assert "signal_received" in server.command("sessions", "journal", session)
    server.command("sessions", "delete", session)
    time.sleep(0.1)
    assert session not in server.command("sessions", "list")
