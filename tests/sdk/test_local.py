"""The model that runs inside: real weights, in every dialect, few tokens."""

from __future__ import annotations

import json

import jsonschema
import pytest

import cases
import clients
import descriptions
from server import ADMIN

PLACE = {
    "type": "object",
    "properties": {"city": {"type": "string", "maxLength": 20}, "days": {"type": "integer", "minimum": 1, "maximum": 9}},
    "required": ["city", "days"],
    "additionalProperties": False,
}
SAID = "Weather in Paris for 3 days?"


def _request(dialect: str, limit: int = 8, said: str = SAID, **more) -> dict:
    """`more` is put as chat has it: tool, schema, stop, seed, temperature."""
    request: dict = {"messages": [{"role": "user", "content": said}], "max_tokens": limit}
    if dialect == "responses":
        request = {"input": said, "max_output_tokens": limit}
    if more.get("temperature") is not None:
        # Anthropic's SDK does not name it any more.
        request["extra_body"] = {"temperature": more["temperature"]}
    if more.get("tool"):
        shape = {"name": "forecast", "description": "Looks up the weather"}
        request |= {
            "chat": {"tools": [{"type": "function", "function": shape | {"parameters": PLACE}}],
                     "tool_choice": {"type": "function", "function": {"name": "forecast"}}},
            "responses": {"tools": [{"type": "function", **shape, "parameters": PLACE, "strict": True}],
                          "tool_choice": {"type": "function", "name": "forecast"}},
            "messages": {"tools": [shape | {"input_schema": PLACE}], "tool_choice": {"type": "tool", "name": "forecast"}},
        }[dialect]  # fmt: skip
    if more.get("schema"):
        named = {"name": "place", "strict": True, "schema": PLACE}
        request |= {
            "chat": {"response_format": {"type": "json_schema", "json_schema": named}},
            "responses": {"text": {"format": {"type": "json_schema", **named}}},
            "messages": {"output_config": {"format": {"type": "json_schema", "schema": PLACE}}},
        }[dialect]
    return request


def _ask(freehold, dialect, request, stream):
    answer = clients.ask(freehold.url, ADMIN, dialect, "local", request, stream)
    if dialect == "responses":
        if stream:
            descriptions.events(answer)
        else:
            descriptions.answer(answer)
    elif dialect == "chat":
        for each in answer if stream else [answer]:
            descriptions.openai_only(f"CreateChatCompletion{'Stream' if stream else ''}Response", each)
    return clients.fold(dialect, answer, stream)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("dialect", cases.DIALECTS)
def test_it_talks(freehold, dialect, stream):
    found = _ask(freehold, dialect, _request(dialect), stream)
    assert found.text.strip()
    assert found.stop in ("end", "length")
    put_in, cached, out = found.usage
    assert put_in > 8 and 0 <= cached <= put_in and 1 <= out <= 8
    if found.stop == "length":
        assert out == 8


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("dialect", cases.DIALECTS)
def test_a_forced_call_parses_and_fits_its_schema(freehold, dialect, stream):
    found = _ask(freehold, dialect, _request(dialect, 48, tool=True), stream)
    ((name, arguments),) = found.calls
    assert name == "forecast"
    jsonschema.validate(json.loads(arguments), PLACE)
    # OpenAI's chat says `stop` after a call that was forced by name.
    assert found.stop in ("call", "end")


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("dialect", cases.DIALECTS)
def test_structured_output_validates(freehold, dialect, stream):
    found = _ask(freehold, dialect, _request(dialect, 48, schema=True), stream)
    jsonschema.validate(json.loads(found.text), PLACE)
    assert found.stop == "end"


@pytest.mark.parametrize("dialect", ["chat", "messages"])
def test_a_stop_string_ends_it(freehold, dialect):
    said = "Count: one, two, three, four, five"
    free = _ask(freehold, dialect, _request(dialect, 24, said, temperature=0), False)
    words = free.text.split(" ")
    assert len(words) > 4, free.text
    stop = words[3]
    name = "stop" if dialect == "chat" else "stop_sequences"
    request = _request(dialect, 24, said, temperature=0) | {name: [stop]}
    found = _ask(freehold, dialect, request, False)
    assert found.text == free.text[: free.text.index(stop)]
    assert found.stop == "end"


def test_a_seed_repeats_itself(freehold):
    def once(seed):
        return _ask(freehold, "chat", _request("chat", 16, "Tell a story.", temperature=1.5) | {"seed": seed}, False).text

    assert once(11) == once(11)
    assert len({once(seed) for seed in (1, 2, 3)}) > 1


def test_tokens_are_counted_by_the_real_tokenizer(freehold):
    def count(said):
        made = clients.anthropic_ai(freehold.url, ADMIN)
        return made.messages.count_tokens(model="local", messages=[{"role": "user", "content": said}]).input_tokens

    said = "one two three"
    assert count(said) == _ask(freehold, "messages", _request("messages", 1, said), False).usage[0]
    assert count(said + " four") == count(said) + 1


def test_embeddings_know_what_is_alike(freehold):
    made = clients.open_ai(freehold.url, ADMIN).embeddings.create(
        model="local/all-minilm-l6-v2", encoding_format="float",
        input=["A cat sits on the mat", "A kitten lies on a rug", "The stock market fell"],
    )  # fmt: skip
    descriptions.openai_only("CreateEmbeddingResponse", made.to_dict(mode="json"))
    cat, kitten, market = (each.embedding for each in made.data)
    assert len(cat) == 384

    def alike(one, other):
        return sum(a * b for a, b in zip(one, other, strict=True))

    assert abs(alike(cat, cat) - 1) < 1e-3
    assert alike(cat, kitten) > alike(cat, market) + 0.2
    assert made.usage.prompt_tokens > 10
