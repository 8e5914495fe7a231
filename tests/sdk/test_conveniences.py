"""The SDKs' own accumulators and parsers, on streams that Freehold encodes."""

from __future__ import annotations

import pytest
from pydantic import BaseModel

import cases
import clients
import facts
from server import ADMIN


class Payment(BaseModel):
    amount: float


STREAMS = [pytest.param(spoken, case, id=f"{spoken}-{case}") for spoken, case, stream in cases.recordings() if stream]


@pytest.mark.parametrize(("spoken", "case"), STREAMS)
def test_the_accumulators_agree_with_the_recording(freehold, spoken, case):
    expected = facts.of(cases.recordings()[spoken, case, True])
    model = f"up-{spoken}/{cases.script_name(spoken, case, True)}"
    openai_client = clients.open_ai(freehold.url, ADMIN)

    with clients.anthropic_ai(freehold.url, ADMIN).messages.stream(model=model, **cases.request("messages", case)) as stream:
        found = facts.messages(stream.get_final_message().to_dict(mode="json"))
    assert (found.text, found.calls, found.stop) == (expected.text, expected.calls, expected.stop)

    request = {key: value for key, value in cases.request("responses", case).items() if key != "text"}
    with openai_client.responses.stream(model=model, **request) as stream:
        stream.until_done()
        found = facts.responses(stream.get_final_response().to_dict(mode="json"))
    assert (found.text, found.calls, found.stop) == (expected.text, expected.calls, expected.stop)

    request = {key: value for key, value in cases.request("chat", case).items() if key != "response_format"}
    for tool in request.get("tools", []):
        tool["function"]["strict"] = True
    with openai_client.chat.completions.stream(model=model, **request) as stream:
        stream.until_done()
        found = facts.chat(stream.get_final_completion().to_dict(mode="json"))
    assert (found.text, found.calls, found.stop) == (expected.text, expected.calls, expected.stop)


@pytest.mark.parametrize("spoken", ["responses", "messages"])
def test_the_parsers_give_the_callers_own_class(freehold, spoken):
    model = f"up-{spoken}/{cases.script_name(spoken, 'schema', False)}"
    client = clients.open_ai(freehold.url, ADMIN)
    said = [{"role": "user", "content": "Return exactly this payment amount: 12.34"}]
    made = client.chat.completions.parse(model=model, messages=said, response_format=Payment)
    assert made.choices[0].message.parsed == Payment(amount=12.34)
    made = client.responses.parse(model=model, input=said, text_format=Payment)
    assert made.output_parsed == Payment(amount=12.34)
    made = clients.anthropic_ai(freehold.url, ADMIN).messages.parse(
        model=model, messages=said, max_tokens=100, output_format=Payment
    )
    assert made.parsed_output == Payment(amount=12.34)


def test_a_conversation_with_thinking_goes_back_as_it_came(freehold, upstream):
    """Over the byte lane signatures stay; and back through another dialect."""
    name = cases.script_name("messages", "thinking", False)
    client = clients.anthropic_ai(freehold.url, ADMIN)
    first = client.messages.create(model=f"up-messages/{name}", **cases.request("messages", "thinking"))
    turns = [{"role": "user", "content": "a"}, {"role": "assistant", "content": first.to_dict()["content"]},
             {"role": "user", "content": "b"}]  # fmt: skip
    client.messages.create(model=f"up-messages/{name}", max_tokens=2048, messages=turns)
    assert upstream.scripts[name].asked[-1].body["messages"][1] == turns[1]

    # A Responses client carries reasoning as an item with encrypted content.
    openai_client = clients.open_ai(freehold.url, ADMIN)
    first = openai_client.responses.create(
        model=f"up-messages/{name}", input="a", include=["reasoning.encrypted_content"]
    )
    items = [item.to_dict(mode="json") for item in first.output]
    assert any(item["type"] == "reasoning" for item in items)
    said = [{"role": "user", "content": "a"}, *items, {"role": "user", "content": "b"}]
    openai_client.responses.create(model=f"up-messages/{name}", input=said, include=["reasoning.encrypted_content"])
    blocks = [b for m in upstream.scripts[name].asked[-1].body["messages"] if m["role"] == "assistant" for b in m["content"]]
    recorded = cases.recordings()["messages", "thinking", False].json()["content"]
    (thought,) = (b for b in recorded if b["type"] == "thinking")
    (back,) = (b for b in blocks if b["type"] == "thinking")
    assert (back["thinking"], back["signature"]) == (thought["thinking"], thought["signature"])
