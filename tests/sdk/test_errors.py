"""Each error in the caller's dialect, as the class the SDK has for it."""

from __future__ import annotations

import anthropic
import openai
import pytest

import cases
import clients
from server import ADMIN
from upstream import answer

PATHS = {"chat": "/v1/chat/completions", "responses": "/v1/responses", "messages": "/v1/messages"}
PAIRS = [(client, spoken) for client in cases.DIALECTS for spoken in cases.DIALECTS]


def _class(dialect: str, name: str):
    return getattr(anthropic if dialect == "messages" else openai, name)


def _error(status: int, spoken: str) -> dict:
    if spoken == "messages":
        kind = {400: "invalid_request_error", 429: "rate_limit_error", 500: "api_error", 529: "overloaded_error"}[status]
        return {"type": "error", "error": {"type": kind, "message": "what the provider said"}}
    return {"error": {"message": "what the provider said", "type": "invalid_request_error", "param": None, "code": None}}


@pytest.fixture(scope="module")
def patient(upstream, tmp_path_factory):
    """A server whose routes do not try again, and whose breakers stay closed."""
    import server

    text = server.config(upstream, "[gateway.breaker]\nfailures = 10000\n")
    for dialect in cases.DIALECTS:
        text += f'[routes."once-{dialect}/*"]\nto = "up-{dialect}/*"\nretries = {{ max = 0 }}\n'
    running = server.Freehold(tmp_path_factory.mktemp("patient"), text)
    yield running
    running.stop()


def _raises(running, client, model, name, key=ADMIN, stream=False):
    with pytest.raises(_class(client, name)) as raised:
        clients.ask(running.url, key, client, model, cases.request(client, "text"), stream)
    body = raised.value.body
    assert isinstance(body, dict), body
    if client == "messages":
        assert body["type"] == "error" and body["error"]["type"] and body["error"]["message"], body
    else:
        assert body["message"] and "type" in body and "code" in body, body
    return raised.value


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(("client", "spoken"), PAIRS)
@pytest.mark.parametrize(
    ("status", "name"), [(400, "BadRequestError"), (429, "RateLimitError"), (500, "InternalServerError")]
)
def test_a_providers_error_reaches_the_caller(patient, upstream, client, spoken, status, name, stream):
    script = f"error-{client}-{spoken}-{status}-{stream}"
    upstream.script(script, answer(status, _error(status, spoken), retry_after="1"))
    raised = _raises(patient, client, f"once-{spoken}/{script}", name, stream=stream)
    assert "what the provider said" in str(raised) or status == 500
    if status == 429:
        assert raised.response.headers["retry-after"]


@pytest.mark.parametrize("client", cases.DIALECTS)
def test_a_wrong_key_is_refused(freehold, client):
    _raises(freehold, client, "up-chat/chat-text-plain", "AuthenticationError", key="sk-of-nobody")


@pytest.mark.parametrize("client", cases.DIALECTS)
def test_an_unknown_model_is_not_found(freehold, client):
    raised = _raises(freehold, client, "no-such-model", "NotFoundError")
    assert "no-such-model" in str(raised)


@pytest.mark.parametrize("client", cases.DIALECTS)
def test_wrong_types_are_bad(freehold, client):
    """On a crossing; on the byte lane they are the provider's to refuse."""
    crossed = "up-chat/chat-text-plain" if client != "chat" else "up-messages/messages-text-plain"
    for body in ({"model": crossed, "messages": 3, "input": 3, "max_tokens": 5},
                 {"model": 3, "messages": [], "input": "x", "max_tokens": 5}):  # fmt: skip
        status, _, said = freehold.call("POST", PATHS[client], body)
        assert status == 400, said


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(("client", "spoken"), PAIRS)
@pytest.mark.parametrize("what", ["html", "error-in-200", "empty"])
def test_an_upstream_that_talks_nonsense_is_an_error(patient, upstream, client, spoken, what, stream):
    script = f"nonsense-{client}-{spoken}-{what}-{stream}"
    bodies = {"html": "<html><body>Bad gateway</body></html>", "error-in-200": _error(500, spoken), "empty": ""}
    upstream.script(script, answer(200, bodies[what], "text/html" if what == "html" else "application/json"))
    with pytest.raises((openai.APIError, anthropic.APIError)):
        answered = clients.ask(patient.url, ADMIN, client, f"once-{spoken}/{script}", cases.request(client, "text"), stream)
        raise AssertionError(f"answered {str(answered)[:300]}")
