"""Every client's dialect over every provider's, with the official SDKs."""

from __future__ import annotations

import json

import jsonschema
import pytest

import cases
import clients
import facts
from server import ADMIN
from upstream import replay

PAIRS = [
    pytest.param(client, *at, id=f"{client}-over-{cases.script_name(*at)}")
    for client in cases.DIALECTS
    for at in cases.recordings()
]


@pytest.mark.parametrize(("client", "spoken", "case", "stream"), PAIRS)
def test_an_sdk_reads_the_recorded_answer(freehold, upstream, client, spoken, case, stream):
    recording = cases.recordings()[spoken, case, stream]
    script = cases.script_name(spoken, case, stream)
    request = cases.request(client, case)
    answer = clients.ask(freehold.url, ADMIN, client, f"up-{spoken}/{script}", request, stream)
    if client == spoken:
        direct = clients.ask(upstream.url.removesuffix("/v1"), "none", client, script, request, stream)
        assert answer == direct, "the byte lane changed the answer"
    found, expected = clients.fold(client, answer, stream), facts.of(recording)
    assert found.text == expected.text
    assert found.calls == expected.calls
    assert found.stop == expected.stop
    if expected.usage:
        assert found.usage == expected.usage
    else:
        assert found.usage is None or all(count >= 0 for count in found.usage)


@pytest.mark.parametrize("spoken", cases.DIALECTS)
@pytest.mark.parametrize("client", cases.DIALECTS)
@pytest.mark.parametrize("case", ["text", "tools"])
def test_a_stream_is_read_alike_however_it_is_cut(freehold, upstream, client, spoken, case):
    recording = cases.recordings()[spoken, case, True]
    expected = facts.of(recording)
    for how in ("whole", "anywhere"):
        name = f"cut-{client}-{spoken}-{case}-{how}"
        upstream.script(name, replay(recording, how))
        answer = clients.ask(freehold.url, ADMIN, client, f"up-{spoken}/{name}", cases.request(client, case), True)
        found = clients.fold(client, answer, True)
        assert (found.text, found.calls, found.stop) == (expected.text, expected.calls, expected.stop), how


def _asked(upstream, spoken, case):
    return upstream.scripts[cases.script_name(spoken, case, False)].asked[-1].body


@pytest.mark.parametrize("spoken", cases.DIALECTS)
@pytest.mark.parametrize("client", cases.DIALECTS)
def test_what_was_asked_arrives(freehold, upstream, client, spoken):
    """Schema, tools, image and system text, found in the provider's request."""
    for case in ("schema", "tools", "image"):
        script = cases.script_name(spoken, case, False)
        clients.ask(freehold.url, ADMIN, client, f"up-{spoken}/{script}", cases.request(client, case), False)
        body = _asked(upstream, spoken, case)
        assert body["model"] == script
        text = json.dumps(body)
        assert "Be brief." in text
        if case == "image":
            assert cases.PIXEL in text
        if case == "schema":
            where = {
                "chat": lambda: body["response_format"]["json_schema"]["schema"],
                "responses": lambda: body["text"]["format"]["schema"],
                "messages": lambda: body["output_config"]["format"]["schema"],
            }
            assert where[spoken]() == cases.SCHEMA
        if case == "tools":
            tools = body["tools"]
            names = [tool["function"]["name"] if spoken == "chat" else tool["name"] for tool in tools]
            assert tuple(names) == cases.TOOLS
            parameters = {"chat": lambda t: t["function"]["parameters"], "responses": lambda t: t["parameters"],
                          "messages": lambda t: t["input_schema"]}[spoken]  # fmt: skip
            assert all(parameters(tool) == cases.PLACE for tool in tools)


@pytest.mark.parametrize("spoken", ["responses", "messages"])
@pytest.mark.parametrize("client", cases.DIALECTS)
def test_structured_output_fits_its_schema(freehold, client, spoken):
    model = f"up-{spoken}/{cases.script_name(spoken, 'schema', False)}"
    answer = clients.ask(freehold.url, ADMIN, client, model, cases.request(client, "schema"), False)
    jsonschema.validate(json.loads(clients.fold(client, answer, False).text), cases.SCHEMA)


@pytest.mark.parametrize("spoken", cases.DIALECTS)
def test_a_chat_stream_has_no_usage_that_was_not_asked_for(freehold, spoken):
    model = f"up-{spoken}/{cases.script_name(spoken, 'text', True)}"
    client = clients.open_ai(freehold.url, ADMIN)
    chunks = list(client.chat.completions.create(model=model, stream=True, **cases.request("chat", "text")))
    if spoken != "chat":
        assert not any(chunk.usage for chunk in chunks)
    assert all(chunk.choices for chunk in chunks)
