"""A provider that answers from a script.

The request's `model` names the script, so that tests can run beside each
other. A script is a list of replies; the last one is given again and again.
What was asked is kept for the tests to look at.
"""

from __future__ import annotations

import json
import random
import socket
import threading
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from recordings import Recording


@dataclass
class Reply:
    """One answer, and how it is sent."""

    pieces: list[bytes]
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    # Seconds before the head, and between pieces.
    wait: float = 0.0
    pause: float = 0.0
    # Ends the connection after the pieces as if the provider had crashed.
    cut: bool = False


@dataclass
class Asked:
    """One request as it arrived."""

    path: str
    headers: dict[str, str]
    body: dict
    # Set when the client went away before the answer was complete.
    closed: threading.Event = field(default_factory=threading.Event)
    done: threading.Event = field(default_factory=threading.Event)


class Script:
    """The replies to one model name."""

    def __init__(self, replies: list[Reply]):
        self.replies = replies
        self.asked: list[Asked] = []
        self.lock = threading.Lock()

    def take(self, asked: Asked) -> Reply:
        with self.lock:
            self.asked.append(asked)
            return self.replies[min(len(self.asked), len(self.replies)) - 1]


def split_events(body: bytes) -> list[bytes]:
    """One piece for each event."""
    return [frame + b"\n\n" for frame in body.replace(b"\r\n", b"\n").split(b"\n\n") if frame.strip()]


def split_anywhere(body: bytes, seed: int = 7) -> list[bytes]:
    """Pieces of 1 to 40 bytes, which cut lines and characters in two."""
    chance, pieces, at = random.Random(seed), [], 0
    while at < len(body):
        size = chance.randint(1, 40)
        pieces.append(body[at : at + size])
        at += size
    return pieces


def replay(recording: Recording, how: str = "events", **more) -> Reply:
    """The recording as a reply: `whole`, by `events`, or split `anywhere`."""
    body = recording.body
    split = {"whole": lambda: [body], "events": lambda: split_events(body), "anywhere": lambda: split_anywhere(body)}
    pieces = split[how]() if recording.stream else [body]
    kind = "text/event-stream; charset=utf-8" if recording.stream else "application/json"
    return Reply(pieces, recording.status, {"content-type": kind, **recording.headers}, **more)


def answer(status: int, body: dict | str, kind: str = "application/json", **headers: str) -> Reply:
    """A short answer of a test's own."""
    data = body if isinstance(body, str) else json.dumps(body)
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Reply([data.encode()], status, {"content-type": kind, **named})


class Upstream:
    """The server; give it scripts, and a provider its `url`."""

    def __init__(self):
        self.scripts: dict[str, Script] = {}
        upstream = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_):
                pass

            def do_POST(self):
                upstream._serve(self)

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 512

            def handle_error(self, *_):
                pass

        self.server = Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/v1"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def script(self, name: str, *replies: Reply) -> Script:
        self.scripts[name] = Script(list(replies))
        return self.scripts[name]

    def close(self):
        self.server.shutdown()

    def _serve(self, handler: BaseHTTPRequestHandler):
        length = int(handler.headers.get("content-length") or 0)
        body = json.loads(handler.rfile.read(length) or b"{}")
        asked = Asked(handler.path, {k.lower(): v for k, v in handler.headers.items()}, body)
        script = self.scripts.get(body.get("model", ""))
        reply = script.take(asked) if script else answer(404, {"error": {"message": "no such script", "type": "not_found"}})
        if reply.wait and _gone(handler.connection, reply.wait):
            asked.closed.set()
            handler.close_connection = True
            return
        try:
            self._send(handler, reply, asked)
            asked.done.set()
        except OSError:
            asked.closed.set()
            handler.close_connection = True

    def _send(self, handler: BaseHTTPRequestHandler, reply: Reply, asked: Asked):
        handler.send_response(reply.status)
        for name, value in reply.headers.items():
            handler.send_header(name, value)
        handler.send_header("transfer-encoding", "chunked")
        handler.end_headers()
        for piece in reply.pieces:
            handler.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))
            handler.wfile.flush()
            if reply.pause and _gone(handler.connection, reply.pause):
                raise ConnectionResetError
        if reply.cut:
            handler.connection.shutdown(socket.SHUT_RDWR)
            handler.close_connection = True
            return
        handler.wfile.write(b"0\r\n\r\n")


def _gone(connection: socket.socket, seconds: float) -> bool:
    """Waits, and tells whether the other side closed meanwhile."""
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0:
        connection.settimeout(left)
        try:
            if connection.recv(1, socket.MSG_PEEK) == b"":
                return True
            time.sleep(min(left, 0.01))
        except TimeoutError:
            return False
        except OSError:
            return True
        finally:
            connection.settimeout(None)
    return False
