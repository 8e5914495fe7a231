"""Starts the server and the scripted upstream, then Node's test runner.

The tests get what they need from the environment: the server's address and
key, and for each recording its script's name and the facts of its answer.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path

import cases
import facts
import server
import test_agents
from upstream import Upstream, answer

HERE = Path(__file__).resolve().parent


def main() -> int:
    upstream = Upstream()
    server.scripted(upstream)
    for dialect in ("chat", "messages"):
        for turn in (1, 2):
            name = f"vercel-{dialect}-{turn}"
            upstream.script(name, *(answer(200, each) for each in test_agents._turns(dialect)))
    table = [
        {"spoken": spoken, "case": case, "stream": stream, "name": cases.script_name(spoken, case, stream),
         "facts": asdict(facts.of(recording))}
        for (spoken, case, stream), recording in cases.recordings().items()
    ]  # fmt: skip
    requests = {d: {c: cases.request(d, c) for c in sorted({row["case"] for row in table})} for d in cases.DIALECTS}
    with tempfile.TemporaryDirectory() as folder:
        running = server.Freehold(Path(folder), server.config(upstream))
        table_file = Path(folder) / "table.json"
        table_file.write_text(json.dumps({"cases": table, "requests": requests}), encoding="utf-8")
        environment = os.environ | {
            "SDK_URL": running.url,
            "SDK_KEY": server.ADMIN,
            "SDK_UPSTREAM": upstream.url,
            "SDK_TABLE": str(table_file),
        }
        try:
            tests = sorted(str(path) for path in (HERE / "node").glob("*.test.mjs"))
            return subprocess.run(["node", "--test", "--test-reporter=dot", *tests], env=environment, check=False).returncode
        finally:
            running.stop()


if __name__ == "__main__":
    sys.exit(main())
