"""A real MCP server: the official Python SDK's, over streamable HTTP."""

from __future__ import annotations

import asyncio
import threading
import time

import uvicorn
from mcp.server import MCPServer

# Addresses that clients name are public ones, but for what is allowed here.
ALLOWED = '[gateway.fetch]\nallow = ["127.0.0.1"]\nallow_http = true\n'


class Rooms:
    """A server with rooms to look at and to book. It counts what was done, and
    keeps the credentials that it was shown."""

    def __init__(self):
        self.booked: list[str] = []
        self.shown: set[str] = set()
        # How many calls of `slow` ran at once, at most.
        self.together, self._running = 0, 0
        app = self._server().streamable_http_app()

        async def seen(scope, receive, send):
            for name, value in scope.get("headers") or []:
                if name == b"authorization":
                    self.shown.add(value.decode())
            await app(scope, receive, send)

        config = uvicorn.Config(seen, host="127.0.0.1", port=0, log_level="error", timeout_graceful_shutdown=1)
        self._uvicorn = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._uvicorn.run, daemon=True)
        self._thread.start()
        while not self._uvicorn.started:
            time.sleep(0.01)
        port = self._uvicorn.servers[0].sockets[0].getsockname()[1]
        self.url = f"http://127.0.0.1:{port}/mcp"

    def close(self):
        self._uvicorn.should_exit = True
        self._thread.join(timeout=10)

    def _server(self) -> MCPServer:
        server = MCPServer("rooms")

        @server.tool()
        def look(room: str) -> str:
            """Says whether a room is free."""
            return f"{room} is free"

        @server.tool()
        def book(room: str) -> str:
            """Books a room."""
            self.booked.append(room)
            return f"{room} is booked"

        @server.tool()
        async def slow(room: str) -> str:
            """Cleans a room, which takes a while."""
            self._running += 1
            self.together = max(self.together, self._running)
            await asyncio.sleep(0.5)
            self._running -= 1
            return f"{room} is clean"

        return server
