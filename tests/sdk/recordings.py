"""Recorded exchanges of real providers, from `testdata/recordings`.

Three forms occur: VCR cassettes (YAML, an exchange per interaction), a JSON
body on its own, and a stream written as one JSON object in a line.
"""

from __future__ import annotations

import base64
import gzip
import json
from dataclasses import dataclass, field
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "testdata" / "recordings"


@dataclass(frozen=True)
class Recording:
    """What a provider answered, and what it had been asked if that is known."""

    dialect: str
    body: bytes
    stream: bool
    status: int = 200
    request: dict | None = None
    name: str = ""
    headers: dict[str, str] = field(default_factory=dict)

    def json(self) -> dict:
        """The answer as JSON; only for one that is no stream."""
        return json.loads(self.body)

    def events(self) -> list[dict]:
        """The data of every event of a stream, in order; `[DONE]` left out."""
        found = []
        for frame in self.body.replace(b"\r\n", b"\n").split(b"\n\n"):
            data = [line[5:].strip() for line in frame.split(b"\n") if line.startswith(b"data:")]
            if data and data != [b"[DONE]"]:
                found.append(json.loads(b"\n".join(data)))
        return found


def _dialect(path: str) -> str:
    for end, dialect in (("/chat/completions", "chat"), ("/responses", "responses"), ("/messages", "messages")):
        if path.split("?")[0].endswith(end):
            return dialect
    raise ValueError(f"{path} is no model call")


def _bytes(body: dict) -> bytes:
    if "parsed_body" in body:
        return json.dumps(body["parsed_body"], ensure_ascii=False).encode()
    raw = body.get("string", b"")
    if "base64_string" in body:
        raw = base64.b64decode(body["base64_string"])
    if isinstance(raw, str):
        raw = raw.encode()
    return gzip.decompress(raw) if raw[:2] == b"\x1f\x8b" else raw


def cassette(path: str, index: int = 0) -> Recording:
    """One interaction of a VCR cassette."""
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    interaction = yaml.load((FOLDER / path).read_bytes(), loader)["interactions"][index]
    request, response = interaction["request"], interaction["response"]
    body = response.get("body") or {}
    if "parsed_body" in response:
        body = {"parsed_body": response["parsed_body"]}
    asked = request.get("parsed_body") or json.loads(request.get("body") or "null")
    status = response["status"]
    data = _bytes(body)
    return Recording(
        dialect=_dialect(request["uri"]),
        body=data,
        stream=not data.lstrip().startswith(b"{"),
        status=status["code"] if isinstance(status, dict) else status,
        request=asked,
        name=f"{Path(path).stem}#{index}",
    )


def chunks(dialect: str, path: str) -> Recording:
    """A stream that is kept as one JSON object in a line."""
    text = (FOLDER / path).read_text(encoding="utf-8")
    out = []
    for line in filter(None, (line.strip() for line in text.splitlines())):
        if dialect == "chat":
            out.append(f"data: {line}\n\n")
        else:
            out.append(f"event: {json.loads(line)['type']}\ndata: {line}\n\n")
    if dialect == "chat":
        out.append("data: [DONE]\n\n")
    return Recording(dialect, "".join(out).encode(), stream=True, name=Path(path).name)


def whole(dialect: str, path: str) -> Recording:
    """A JSON body on its own."""
    return Recording(dialect, (FOLDER / path).read_bytes(), stream=False, name=Path(path).name)
