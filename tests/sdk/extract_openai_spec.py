"""Takes what the tests need out of OpenAI's API description.

    python tests/sdk/extract_openai_spec.py openai.openapi.yaml

writes testdata/specs/openai.schemas.json: the schemas named below and all they
refer to, unchanged but for examples and vendor extensions, which are left out.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import yaml

WANTED = (
    "Response",
    "ResponseStreamEvent",
    "CreateChatCompletionResponse",
    "CreateChatCompletionStreamResponse",
    "CreateEmbeddingResponse",
)
PREFIX = "#/components/schemas/"
OUT = Path(__file__).resolve().parents[2] / "testdata" / "specs" / "openai.schemas.json"


def lean(node):
    """Without examples and extensions; a property may have any name."""
    if isinstance(node, list):
        return [lean(item) for item in node]
    if not isinstance(node, dict):
        return node
    kept = {}
    for key, value in node.items():
        if key == "properties":
            kept[key] = {name: lean(schema) for name, schema in value.items()}
        elif key not in ("example", "examples") and not key.startswith("x-"):
            kept[key] = lean(value)
    return kept


def references(node):
    if isinstance(node, list):
        for item in node:
            yield from references(item)
    elif isinstance(node, dict):
        if str(node.get("$ref", "")).startswith(PREFIX):
            yield node["$ref"].removeprefix(PREFIX)
        for value in node.values():
            yield from references(value)


def main():
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    document = yaml.load(Path(sys.argv[1]).read_bytes(), loader)
    schemas, found, waiting = document["components"]["schemas"], {}, list(WANTED)
    while waiting:
        name = waiting.pop()
        if name not in found:
            found[name] = lean(schemas[name])
            waiting.extend(references(found[name]))
    out = {"openapi": document["openapi"], "info": {"version": document["info"]["version"]},
           "components": {"schemas": dict(sorted(found.items()))}}  # fmt: skip
    OUT.write_text(json.dumps(out, indent=1, default=str) + "\n", encoding="utf-8")
    print(f"{len(found)} schemas, {OUT.stat().st_size} bytes")


if __name__ == "__main__":
    main()
