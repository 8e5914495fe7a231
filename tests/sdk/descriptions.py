"""Validates against Open Responses and OpenAI's own API description.

Both descriptions refuse what real OpenAI traffic has. Each exception is a rule
here, applied to a copy of the value before it is validated.
"""

from __future__ import annotations

import copy
import json
from collections import Counter
from functools import cache
from pathlib import Path

from jsonschema import Draft202012Validator
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT202012

FOLDER = Path(__file__).resolve().parents[2] / "testdata" / "specs"
FILES = {"open-responses": "open-responses-2026-04-24.openapi.json", "openai": "openai.schemas.json"}
PREFIX = "#/components/schemas/"
# How many values of which kind were valid; shown at the end of the run.
counted: Counter = Counter()


@cache
def _document(which: str) -> dict:
    return json.loads((FOLDER / FILES[which]).read_text(encoding="utf-8"))


@cache
def _validator(which: str, schema: str) -> Draft202012Validator:
    resource = Resource.from_contents(_document(which), default_specification=DRAFT202012)
    registry = Registry().with_resource(which, resource)
    return Draft202012Validator({"$ref": f"{which}{PREFIX}{schema}"}, registry=registry)


@cache
def _events(which: str) -> dict[str, str]:
    """The schema of each event type."""
    schemas, found = _document(which)["components"]["schemas"], {}
    if which == "openai":
        names = [choice["$ref"].removeprefix(PREFIX) for choice in schemas["ResponseStreamEvent"]["anyOf"]]
    else:
        names = [name for name in schemas if name.endswith("StreamingEvent")]
    for name in names:
        kind = schemas[name]["properties"]["type"]
        for word in kind.get("enum") or [kind.get("const")]:
            found[word] = name
    return found


def _format(value: dict) -> dict:
    """The `text.format` of an answer, or of the answer in an event."""
    answer = value.get("response") if isinstance(value.get("response"), dict) else value
    text = answer.get("text")
    # A delta's event has a `text` that is a string.
    return (text.get("format") or {}) if isinstance(text, dict) else {}


def _open_responses_rules(value: dict):
    # `text.format.schema` of a JSON schema is described as always null, which
    # contradicts the request's description and every server there is.
    form = _format(value)
    if form.get("type") == "json_schema":
        form["schema"] = None
    _without_mcp(value)


# Open Responses names no MCP; OpenAI's description does, and these are
# validated against that one.
MCP_ITEMS = {"mcp_list_tools", "mcp_call", "mcp_approval_request"}


def _without_mcp(value: dict):
    answer = value.get("response") if isinstance(value.get("response"), dict) else value
    for name, kinds in (("output", MCP_ITEMS), ("tools", {"mcp"})):
        if isinstance(answer.get(name), list):
            answer[name] = [each for each in answer[name] if each["type"] not in kinds]


def _openai_rules(value: dict):
    answer = value.get("response") if isinstance(value.get("response"), dict) else value
    # Null where the description says optional; real traffic has these.
    for name in ("user", "system_fingerprint", "usage", "service_tier"):
        if name in answer and answer[name] is None:
            del answer[name]
    # Open Responses requires these as null where nothing is set, OpenAI's own
    # traffic has them so too, and its description knows only the set value.
    for name in ("prompt_cache_key", "safety_identifier", "max_tool_calls", "completed_at", "top_logprobs"):
        if name in answer and answer[name] is None:
            del answer[name]
    # Open Responses requires it as null where there is none.
    form = _format(value)
    if "description" in form and form["description"] is None:
        del form["description"]
    # Called required, absent in older recordings.
    details = (answer.get("usage") or {}).get("input_tokens_details")
    if isinstance(details, dict):
        details.setdefault("cache_write_tokens", 0)
    for choice in answer.get("choices") or []:
        choice.setdefault("logprobs", None)
        # Described as never null in a chunk; all traffic has null in all
        # chunks but the last.
        if "delta" in choice:
            if choice["finish_reason"] is None:
                choice["finish_reason"] = "stop"
            if choice["logprobs"] is None:
                del choice["logprobs"]


RULES = {"open-responses": _open_responses_rules, "openai": _openai_rules}


def _validate(which: str, schema: str, value: dict, kind: str):
    value = copy.deepcopy(value)
    RULES[which](value)
    faults = [_deepest(fault) for fault in _validator(which, schema).iter_errors(value)]
    assert not faults, f"{which} {schema}: {faults}\n{json.dumps(value)[:2000]}"
    counted[f"{which}: {kind}"] += 1


def _deepest(fault) -> str:
    """Where it is wrong, and in each alternative of an `anyOf`, why."""
    at = "/".join(map(str, fault.absolute_path))
    inner = "; ".join(_deepest(each) for each in fault.context or [])
    return f"{at}: {fault.message[:160]}" + (f" [{inner[:1200]}]" if inner else "")


def answer(value: dict):
    """A whole answer of `/v1/responses`."""
    _validate("open-responses", "ResponseResource", value, "answers")
    _validate("openai", "Response", value, "answers")
    ids = [item["id"] for item in value["output"]]
    assert all(ids) and len(set(ids)) == len(ids), f"the items' ids: {ids}"


def compacted(value: dict):
    """An answer of `/v1/responses/compact`."""
    _validate("open-responses", "CompactResource", value, "compactions")


def socket_error(value: dict):
    """An error over the WebSocket form of `/v1/responses`."""
    _validate("open-responses", "WebSocketErrorEvent", value, "errors over WebSockets")


def schema(which: str, name: str) -> dict:
    """A schema of a description."""
    return _document(which)["components"]["schemas"][name]


def events(values: list[dict]):
    """The events of a stream of `/v1/responses`, and their numbers."""
    for value in values:
        for which in FILES:
            schema = _events(which).get(value["type"])
            # Each description names the events of raw reasoning its own way.
            if schema is None and value["type"] in _events(({*FILES} - {which}).pop()):
                counted[f"{which}: events it does not name"] += 1
                continue
            if which == "open-responses" and (value.get("item") or {}).get("type") in MCP_ITEMS:
                counted[f"{which}: events it does not name"] += 1
                continue
            assert schema, f"{which} has no event {value['type']}"
            _validate(which, schema, value, "events")
    numbers = [value["sequence_number"] for value in values]
    assert numbers == list(range(len(values))), numbers


def openai_only(schema: str, value: dict):
    """A value of OpenAI's description alone: chat answers, chunks, embeddings."""
    _validate("openai", schema, value, schema)
