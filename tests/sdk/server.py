"""The real binary with a scripted provider for each dialect."""

from __future__ import annotations

import http.client
import json
import os
import signal
import subprocess
import time
from pathlib import Path

import cases
from upstream import Upstream, replay

ADMIN = "sk-admin-of-the-sdk-tests"
BINARY = os.environ.get("FREEHOLD_BIN", "freehold")


def config(upstream: Upstream, more: str = "") -> str:
    """Providers `up-DIALECT`, reached as `up-DIALECT/SCRIPT`."""
    tables = [more]
    for dialect in cases.DIALECTS:
        tables.append(
            f'[providers.up-{dialect}]\nkind = "compatible"\nbase_url = "{upstream.url}"\ndialects = ["{dialect}"]\n'
        )
    return "\n".join(tables)


def scripted(upstream: Upstream):
    """Gives the upstream a script for each recording of `cases`."""
    for at, recording in cases.recordings().items():
        upstream.script(cases.script_name(*at), replay(recording))


class Freehold:
    """A running server. `folder` holds its configuration and data."""

    def __init__(self, folder: Path, text: str, **environment: str):
        folder.mkdir(parents=True, exist_ok=True)
        self.folder, self.data = folder, folder / "data"
        self.file = folder / "freehold.toml"
        self.file.write_text(text, encoding="utf-8")
        self.environment = environment
        self.start()

    def start(self):
        self.log = open(self.folder / "log", "ab")  # noqa: SIM115
        args = [BINARY, "serve", "--config", self.file, "--data", self.data, "--listen", "127.0.0.1:0"]
        self.process = subprocess.Popen(
            args, stdout=subprocess.PIPE, stderr=self.log, text=True, env=self._environment()
        )
        self.ready_line = self.process.stdout.readline()
        if "ready on http://" not in self.ready_line:
            raise RuntimeError(f"no ready line: {self.ready_line!r}\n{(self.folder / 'log').read_text()}")
        self.address = self.ready_line.split("http://")[1].split()[0].rstrip("/,;")
        self.url = f"http://{self.address}"

    def _environment(self) -> dict[str, str]:
        own = {name: value for name, value in os.environ.items() if not name.startswith("FREEHOLD_")}
        if "FREEHOLD_MODELS" in os.environ:
            own["FREEHOLD_MODELS"] = os.environ["FREEHOLD_MODELS"]
        return own | {"FREEHOLD_BOOTSTRAP_KEY": ADMIN} | self.environment

    def stop(self):
        self.process.terminate()
        self.process.wait(timeout=40)
        self.log.close()

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        self.log.close()

    def command(self, *args: str) -> str:
        """Runs a command of the same binary on this data folder."""
        done = subprocess.run(
            [BINARY, *args, "--data", self.data], capture_output=True, text=True, env=self._environment(), check=False
        )
        assert done.returncode == 0, f"{args}: {done.stderr}"
        return done.stdout

    def key(self, *args: str) -> dict:
        return json.loads(self.command("keys", "create", "--json", *args))

    def call(self, method: str, path: str, body=None, key: str | None = ADMIN, headers=None, timeout=60):
        """A request without an SDK: status, headers, body."""
        connection = http.client.HTTPConnection(self.address, timeout=timeout)
        data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        sent = {"content-type": "application/json"} | (headers or {})
        if key:
            sent["authorization"] = f"Bearer {key}"
        connection.request(method, path, data, sent)
        response = connection.getresponse()
        try:
            content = response.read()
        except http.client.IncompleteRead as cut:
            content = cut.partial
        connection.close()
        return response.status, {k.lower(): v for k, v in response.getheaders()}, content

    def get(self, path: str) -> dict:
        status, _, body = self.call("GET", path)
        assert status == 200, body
        return json.loads(body)


def eventually(what: str, holds, seconds: float = 10.0):
    """Tries until it holds, for a while; gives what it gave."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if found := holds():
            return found
        time.sleep(0.05)
    raise AssertionError(f"never: {what}")
