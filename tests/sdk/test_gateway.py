"""What the gateway does beyond translating, from outside."""

from __future__ import annotations

import http.client
import json
import threading
import time

import anthropic
import openai
import pytest

import cases
import clients
from recordings import Recording
from server import ADMIN, eventually
from upstream import Reply, answer, replay, split_events

PATHS = {"chat": "/v1/chat/completions", "responses": "/v1/responses", "messages": "/v1/messages"}
PAIRS = [(client, spoken) for client in cases.DIALECTS for spoken in cases.DIALECTS]
SSE = {"content-type": "text/event-stream"}


def _stream(freehold, client, model):
    request = cases.request(client, "text") | {"model": model, "stream": True}
    status, _, body = freehold.call("POST", PATHS[client], request)
    return status, body


def _text_pieces(spoken):
    """A long stream's events, and how many of them to let through."""
    case = {"chat": "long", "responses": "thinking", "messages": "schema"}[spoken]
    return split_events(cases.recordings()[spoken, case, True].body)


@pytest.mark.parametrize("how", ["cut", "ended"])
@pytest.mark.parametrize(("client", "spoken"), PAIRS)
def test_a_truncated_stream_ends_with_an_error_and_no_stop(freehold, upstream, client, spoken, how):
    name = f"truncated-{client}-{spoken}-{how}"
    upstream.script(name, Reply(_text_pieces(spoken)[:-6], headers=SSE, cut=how == "cut"))
    status, body = _stream(freehold, client, f"up-{spoken}/{name}")
    assert status == 200, body
    events = Recording(client, body, stream=True).events()
    last = events[-1]
    if client == "chat":
        assert last["error"]["message"], last
        assert not any(choice.get("finish_reason") for event in events for choice in event.get("choices") or [])
        assert b"[DONE]" not in body
    elif client == "responses":
        assert last["type"] in ("response.failed", "error"), last
        assert not any(event["type"] in ("response.completed", "response.incomplete") for event in events)
    else:
        assert last["type"] == "error" and last["error"]["message"], last
        assert not any(event["type"] in ("message_stop", "message_delta") for event in events)


@pytest.mark.parametrize(("client", "spoken"), PAIRS)
def test_an_sdk_raises_on_a_truncated_stream(freehold, upstream, client, spoken):
    name = f"raises-{client}-{spoken}"
    upstream.script(name, Reply(_text_pieces(spoken)[:-6], headers=SSE, cut=True))
    request = cases.request(client, "text")
    if client == "responses":
        # The SDK gives `response.failed` and `error` as events.
        with clients.open_ai(freehold.url, ADMIN) as made:
            try:
                kinds = [e.type for e in made.responses.create(model=f"up-{spoken}/{name}", stream=True, **request)]
            except openai.APIError:
                return
            assert kinds[-1] in ("response.failed", "error")
    else:
        with pytest.raises((openai.APIError, anthropic.APIError)):
            clients.ask(freehold.url, ADMIN, client, f"up-{spoken}/{name}", request, True)


@pytest.mark.parametrize(("client", "spoken"), PAIRS)
def test_a_client_that_leaves_cancels_the_upstream_and_is_accounted(freehold, upstream, client, spoken):
    name = f"leaves-{client}-{spoken}"
    script = upstream.script(name, Reply(_text_pieces(spoken), headers=SSE, pause=0.25))
    model = f"up-{spoken}/{name}"
    connection = http.client.HTTPConnection(freehold.address, timeout=20)
    body = json.dumps(cases.request(client, "text") | {"model": model, "stream": True})
    connection.request("POST", PATHS[client], body, {"authorization": f"Bearer {ADMIN}"})
    response = connection.getresponse()
    assert response.read(20)
    response.close()
    connection.close()
    assert script.asked[0].closed.wait(5), "the upstream goes on"

    def closed():
        found = freehold.get("/v1/freehold/exchanges?limit=20")["data"]
        return next((e for e in found if e.get("model") == name and e["state"] == "closed"), None)

    row = eventually("the exchange is closed", closed)
    assert (row["status"], row["error"]) == (499, "cancelled")
    assert row["input_tokens"] > 0
    assert row["estimated"] is True


def test_the_next_deployment_answers_where_the_first_fails(own, upstream):
    text = '[routes.pair]\ndeployments = [{provider = "up-chat", model = "falls"}, {provider = "up-messages", model = "holds"}]\nretries = { max = 2 }\n'
    running = own(text)
    failing = upstream.script("falls", answer(503, {"error": {"message": "busy", "type": "server_error"}}))
    holding = upstream.script("holds", replay(cases.recordings()["messages", "text", True]))
    for client in cases.DIALECTS:
        found = clients.ask(running.url, ADMIN, client, "pair", cases.request(client, "text"), True)
        assert clients.fold(client, found, True).text == "Hello there!"
    assert failing.asked and len(holding.asked) == 3


def test_nothing_is_tried_again_once_the_client_has_read(own, upstream):
    text = '[routes.pair]\ndeployments = [{provider = "up-chat", model = "starts"}, {provider = "up-messages", model = "waits"}]\nretries = { max = 2 }\n'
    running = own(text)
    upstream.script("starts", Reply(_text_pieces("chat")[:20], headers=SSE, cut=True))
    waiting = upstream.script("waits", replay(cases.recordings()["messages", "text", True]))
    with pytest.raises(openai.APIError):
        clients.ask(running.url, ADMIN, "chat", "pair", cases.request("chat", "text"), True)
    assert not waiting.asked


@pytest.mark.parametrize("spoken", ["responses", "messages"])
def test_strict_refuses_what_would_be_lost(freehold, spoken):
    model = f"up-{spoken}/{cases.script_name(spoken, 'text', False)}"
    request = cases.request("chat", "text") | {"model": model, "n": 1, "logit_bias": {"50256": -100}}
    lax, headers, body = freehold.call("POST", PATHS["chat"], request)
    assert lax == 200, body
    assert "logit_bias" in headers.get("x-freehold-losses", ""), headers
    status, _, body = freehold.call("POST", PATHS["chat"], request, headers={"x-freehold-strict": "true"})
    assert status == 400
    assert "logit_bias" in json.loads(body)["error"]["message"]


def test_what_keeps_nothing_has_no_state(freehold):
    asked = {"model": "up-chat/chat-text-plain", "input": "x", "store": False}
    for more in ({"background": True}, {"previous_response_id": "resp_1"}, {"conversation": "conv_1"}):
        for model in ("up-chat/chat-text-plain", "up-responses/responses-text-plain"):
            status, _, body = freehold.call("POST", "/v1/responses", asked | {"model": model} | more)
            assert status == 400, (more, body[:200])
            assert json.loads(body)["error"]["param"] == next(iter(more)), body
    status, _, body = freehold.call("POST", "/v1/responses", asked)
    assert (status, json.loads(body)["store"]) == (200, False)


def test_no_provider_is_asked_to_keep_anything(freehold, upstream):
    for more in ({}, {"store": True}, {"store": False}):
        asked = {"model": "up-responses/responses-text-plain", "input": "unset"}
        status, _, body = freehold.call("POST", "/v1/responses", asked | more)
        assert status == 200, body
        assert upstream.scripts["responses-text-plain"].asked[-1].body["store"] is False


@pytest.mark.parametrize("client", cases.DIALECTS)
def test_malformed_json_is_told_with_its_position(freehold, client):
    request = b'{"model": "local",\n "messages": [}'
    status, _, body = freehold.call("POST", PATHS[client], request)
    assert status == 400
    assert f"byte {request.index(b'}')}" in json.loads(body)["error"]["message"]


@pytest.mark.parametrize("client", cases.DIALECTS)
def test_broken_utf8_is_refused(freehold, client):
    request = json.dumps(cases.request(client, "text") | {"model": "up-chat/chat-text-plain"}).encode()
    status, _, body = freehold.call("POST", PATHS[client], request.replace(b"Say hello", b"Say \xff\xfe"))
    assert status == 400, body


def test_an_oversized_body_is_413(own):
    running = own("[server]\nbody_bytes_max = 10000\n")
    for client in cases.DIALECTS:
        status, _, body = running.call("POST", PATHS[client], b'{"model":"' + b"x" * 20000 + b'"}')
        assert status == 413
        assert json.loads(body)["error"]["message"]


def test_a_key_is_in_force_at_once_and_refused_at_once(freehold):
    made = freehold.key("--name", "short-lived", "--route", "up-chat/*")
    request = cases.request("chat", "text") | {"model": "up-chat/chat-text-plain"}
    assert freehold.call("POST", PATHS["chat"], request, key=made["key"])[0] == 200
    for client, header in (("messages", "x-api-key"), ("chat", "api-key")):
        asked = cases.request(client, "text") | {"model": "up-chat/chat-text-plain"}
        assert freehold.call("POST", PATHS[client], asked, key=None, headers={header: made["key"]})[0] == 200, header
    other = request | {"model": "up-messages/messages-text-plain"}
    assert freehold.call("POST", PATHS["chat"], other, key=made["key"])[0] in (403, 404)
    freehold.command("keys", "revoke", made["id"])
    assert freehold.call("POST", PATHS["chat"], request, key=made["key"])[0] == 401


def test_models_have_the_callers_shape(freehold):
    assert "local" in [m.id for m in clients.open_ai(freehold.url, ADMIN).models.list()]
    assert "local" in [m.id for m in clients.anthropic_ai(freehold.url, ADMIN).models.list()]


def test_no_secret_goes_up_or_into_the_log(freehold, upstream):
    request = cases.request("chat", "text") | {"model": "up-chat/chat-text-plain"}
    freehold.call("POST", PATHS["chat"], request, headers={"cookie": "a=b", "x-api-key": ADMIN})
    for script in upstream.scripts.values():
        for asked in script.asked:
            assert ADMIN not in json.dumps([asked.headers, asked.body])
    assert ADMIN not in (freehold.folder / "log").read_text(encoding="utf-8")


def test_a_stalled_upstream_is_a_timeout(own, upstream):
    running = own(f'[providers.slow]\nkind = "compatible"\nbase_url = "{upstream.url}"\n'
                  "timeouts = { connect_ms = 300, headers_ms = 300, idle_ms = 300 }\n"
                  '[routes.slow]\nto = "slow/stalls"\nretries = { max = 0 }\n'
                  '[routes.stuck]\nto = "slow/sticks"\nretries = { max = 0 }\n')  # fmt: skip
    upstream.script("stalls", replay(cases.recordings()["chat", "text", False], wait=3))
    upstream.script("sticks", Reply(_text_pieces("chat")[:20], headers=SSE, pause=1))
    began = time.monotonic()
    with pytest.raises((openai.InternalServerError, openai.APITimeoutError)) as raised:
        clients.ask(running.url, ADMIN, "chat", "slow", cases.request("chat", "text"), False)
    assert raised.value.status_code in (502, 503, 504)
    with pytest.raises(openai.APIError):
        clients.ask(running.url, ADMIN, "chat", "stuck", cases.request("chat", "text"), True)
    assert time.monotonic() - began < 2.5


def test_many_clients_at_once_get_their_own_answers(freehold, upstream):
    texts = {}
    for number in range(16):
        made = cases.recordings()["chat", "schema", False].json()
        made["choices"][0]["message"]["content"] = f"answer {number}"
        upstream.script(f"own-{number}", answer(200, made))

    def ask(number):
        client = cases.DIALECTS[number % 3]
        found = clients.ask(freehold.url, ADMIN, client, f"up-chat/own-{number}", cases.request(client, "text"), False)
        texts[number] = clients.fold(client, found, False).text

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert texts == {number: f"answer {number}" for number in range(16)}
