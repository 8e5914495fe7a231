"""One server and one scripted upstream for all tests that share them."""

from __future__ import annotations

import pytest

import server
from upstream import Upstream


@pytest.fixture(scope="session")
def upstream():
    made = Upstream()
    server.scripted(made)
    yield made
    made.close()


@pytest.fixture(scope="session")
def freehold(upstream, tmp_path_factory):
    running = server.Freehold(tmp_path_factory.mktemp("freehold"), server.config(upstream))
    yield running
    running.stop()


@pytest.fixture
def own(upstream, tmp_path):
    """Starts servers of a test's own; they end with it."""
    started = []

    def start(more: str = "") -> server.Freehold:
        running = server.Freehold(tmp_path / f"own{len(started)}", server.config(upstream, more))
        started.append(running)
        return running

    yield start
    for running in started:
        if running.process.poll() is None:
            running.stop()


def pytest_terminal_summary(terminalreporter):
    import descriptions

    if descriptions.counted:
        terminalreporter.section("valid against the descriptions")
        for kind, count in sorted(descriptions.counted.items()):
            terminalreporter.write_line(f"{count:6} {kind}")
