"""Starts the server and the scripted upstream, then Node's test runner.

The tests get what they need from the environment: the server's address and
key, and for each recording its script's name and the facts of its answer.
"""

from __future__ import annotations

import http.server
import json
import os
import subprocess
import sys
import tempfile
import threading
from dataclasses import asdict
from pathlib import Path

import cases
import facts
import server
import test_agents
from mcp_server import ALLOWED, Rooms
from scripts import calls, says
from upstream import Upstream, answer

HERE = Path(__file__).resolve().parent


def restarter(running: server.Freehold) -> http.server.HTTPServer:
    """Kills the server and starts it again for whoever asks; tells its new address."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def log_message(self, *_):
            pass

        def do_POST(self):
            running.kill()
            running.start()
            self.send_response(200)
            self.end_headers()
            self.wfile.write(running.url.encode())

    listening = http.server.HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=listening.serve_forever, daemon=True).start()
    return listening


def main() -> int:
    upstream = Upstream()
    server.scripted(upstream)
    for dialect in ("chat", "messages"):
        for turn in (1, 2):
            name = f"vercel-{dialect}-{turn}"
            upstream.script(name, *(answer(200, each) for each in test_agents._turns(dialect)))
    upstream.script("node-chain", says("one"), says("two"))
    upstream.script("node-cut", says("a b c d e f g h", pause=0.15))
    upstream.script("node-tool", calls(("temperature", {"city": "Paris"})), says("18 degrees."))
    wanted = ("mcp__rooms__book", {"room": "red"})
    upstream.script("node-mcp", calls(wanted), says("Booked."))
    upstream.script("node-mcp-deny", calls(wanted), says("Then not."))
    rooms = Rooms()
    upstream.script("node-talk", says("hello"), says("again"))
    upstream.script("node-stop", says("a b c d e f g h i j k l m n o p", pause=0.3))
    table = [
        {"spoken": spoken, "case": case, "stream": stream, "name": cases.script_name(spoken, case, stream),
         "facts": asdict(facts.of(recording))}
        for (spoken, case, stream), recording in cases.recordings().items()
    ]  # fmt: skip
    requests = {d: {c: cases.request(d, c) for c in sorted({row["case"] for row in table})} for d in cases.DIALECTS}
    with tempfile.TemporaryDirectory() as folder:
        running = server.Freehold(Path(folder), server.config(upstream, ALLOWED))
        table_file = Path(folder) / "table.json"
        table_file.write_text(json.dumps({"cases": table, "requests": requests}), encoding="utf-8")
        environment = os.environ | {
            "SDK_URL": running.url,
            "SDK_KEY": server.ADMIN,
            "SDK_UPSTREAM": upstream.url,
            "SDK_MCP": rooms.url,
            "SDK_TABLE": str(table_file),
        }
        try:
            tests = sorted(str(path) for path in (HERE / "node").glob("*.test.mjs"))
            node = ["node", "--test", "--test-reporter=dot"]
            failed = subprocess.run([*node, *tests], env=environment, check=False).returncode
            # By themselves, since they restart the server.
            environment["SDK_RESTART"] = f"http://127.0.0.1:{restarter(running).server_port}"
            sessions = str(HERE / "node" / "sessions.restart.mjs")
            return failed | subprocess.run([*node, sessions], env=environment, check=False).returncode
        finally:
            running.stop()
            rooms.close()


if __name__ == "__main__":
    sys.exit(main())
