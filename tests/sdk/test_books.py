"""Budgets and accounts: nothing overspent, nothing lost."""

from __future__ import annotations

import datetime
import json
import threading
import time
from decimal import Decimal

import cases
import facts
from server import ADMIN, eventually
from upstream import answer, replay

CHAT = "/v1/chat/completions"
# A dollar for 1,000 input tokens and two for 1,000 output tokens.
PRICED = """
[[routes.priced.deployments]]
provider = "up-chat"
model = "priced"
price = { input = "1000", output = "2000" }
"""


def _say(said="Say hello.", **more):
    return {"model": "priced", "messages": [{"role": "user", "content": said}]} | more


def _sums(running, by="key"):
    return running.get(f"/v1/freehold/usage?by={by}")["data"]


def test_racing_clients_overspend_nothing(own, upstream):
    running = own(PRICED)
    put_in, out = 20, 50
    made = {"id": "c", "object": "chat.completion", "created": 1, "model": "priced",
            "choices": [{"index": 0, "message": {"role": "assistant", "content": "hello"}, "finish_reason": "stop"}],
            "usage": {"prompt_tokens": put_in, "completion_tokens": out, "total_tokens": put_in + out}}  # fmt: skip
    script = upstream.script("priced", answer(200, made))
    script.replies[0].wait = 0.02
    cost = Decimal(put_in + 2 * out) / 1000
    key = running.key("--name", "racer")
    cap = Decimal("2.00")
    running.command("budgets", "create", "--key", key["id"], "--amount", str(cap), "--period", "total")
    statuses, lock = [], threading.Lock()

    def race():
        for _ in range(4):
            # A prompt long enough that its upper bound is above what is counted.
            status, _, body = running.call("POST", CHAT, _say("hello " * 20, max_tokens=out), key=key["key"])
            with lock:
                statuses.append((status, body))

    threads = [threading.Thread(target=race) for _ in range(64)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    served = sum(status == 200 for status, _ in statuses)
    assert {status for status, _ in statuses} <= {200, 402, 403, 429}, {s for s, _ in statuses}
    assert 0 < served and served == len(script.asked)
    assert served * cost <= cap, f"{served} served, {served * cost} spent of {cap}"

    def settled():
        row = next((r for r in _sums(running) if r["key"] == key["id"]), None)
        return row if row and row["exchanges"] >= served and Decimal(row["cost"]) == served * cost else None

    row = eventually("the books say what was spent", settled)
    assert row["input_tokens"] == served * put_in and row["output_tokens"] == served * out


def test_the_books_say_what_was_sent(own, upstream):
    running = own()
    expected, sent = [0, 0, 0], 0
    for at, recording in cases.recordings().items():
        spoken, case, stream = at
        found = facts.of(recording)
        if not found.usage:
            continue
        client = cases.DIALECTS[sent % 3]
        path = {"chat": CHAT, "responses": "/v1/responses", "messages": "/v1/messages"}[client]
        model = f"up-{spoken}/{cases.script_name(*at)}"
        request = cases.request(client, case) | {"model": model, "stream": stream}
        assert running.call("POST", path, request)[0] == 200
        sent += 1
        expected = [was + now for was, now in zip(expected, found.usage, strict=True)]

    def booked():
        rows = _sums(running, "tenant")
        return rows and rows[0]["exchanges"] == sent and rows[0]

    row = eventually("all exchanges are in the books", booked)
    assert row["errors"] == row["interrupted"] == row["estimated"] == 0
    assert row["output_tokens"] == expected[2]
    assert row["cache_read_tokens"] == expected[1]
    inputs = row["input_tokens"]
    # Stored beside or above the cached part: it must be one of the two, exactly.
    cached = row["cache_read_tokens"] + row["cache_write_tokens"]
    assert expected[0] in (inputs, inputs + cached), (row, expected)
    assert len(_sums(running, "model")) == sent


def test_after_a_kill_every_exchange_is_closed_interrupted_or_young(own, upstream):
    running = own(PRICED)
    script = upstream.script("priced", replay(cases.recordings()["chat", "long", True], pause=0.003))
    began, stop, lock = [], threading.Event(), threading.Lock()

    def load():
        while not stop.is_set():
            at = time.time()
            try:
                status, headers, _ = running.call("POST", CHAT, _say(stream=True, max_tokens=100), timeout=5)
            except OSError:
                status, headers = 0, {}
            with lock:
                began.append((at, status, headers.get("x-request-id")))

    threads = [threading.Thread(target=load, daemon=True) for _ in range(16)]
    for thread in threads:
        thread.start()
    time.sleep(2.5)
    stop.set()
    killed = time.time()
    running.kill()
    asked = len(script.asked)
    for thread in threads:
        thread.join(10)
    running.start()
    rows = _all_exchanges(running)
    states = {row["state"] for row in rows}
    assert states <= {"closed", "interrupted"}, states
    assert any(row["state"] == "interrupted" for row in rows), "the load was over before the kill"
    for row in rows:
        if row["state"] == "interrupted":
            assert Decimal(row["reserved"]) > 0
    # What is missing began, or reached the provider, inside the flush window.
    young = sum(1 for at, _, _ in began if at > killed - 0.1) + 1
    assert asked - len(rows) <= young, f"{asked} asked, {len(rows)} in the books, {young} young"
    opened = [datetime.datetime.fromisoformat(row["opened_at"].replace("Z", "+00:00")).timestamp() for row in rows]
    assert max(opened) <= killed + 0.1
    total = next(row for row in _sums(running, "tenant"))
    assert total["exchanges"] == len(rows)
    assert total["interrupted"] == sum(row["state"] == "interrupted" for row in rows)


def _all_exchanges(running):
    rows, after = [], ""
    while True:
        page = running.get(f"/v1/freehold/exchanges?limit=100{after}")
        rows += page["data"]
        if not page["next"]:
            return rows
        after = f"&after={page['next']}"


def test_a_clean_stop_loses_nothing(own, upstream):
    running = own(PRICED)
    script = upstream.script("priced", replay(cases.recordings()["chat", "schema", False]))
    for _ in range(20):
        assert running.call("POST", CHAT, _say())[0] == 200
    running.stop()
    running.start()
    assert len(script.asked) == 20
    rows = _all_exchanges(running)
    assert len(rows) == 20 and {row["state"] for row in rows} == {"closed"}


def test_a_limit_that_the_route_sets_is_sent_upstream(own, upstream):
    running = own(PRICED.replace("[[routes", "[routes.priced]\ndefault_max_tokens = 77\n[[routes"))
    script = upstream.script("priced", replay(cases.recordings()["chat", "schema", False]))
    assert running.call("POST", CHAT, _say())[0] == 200
    body = script.asked[0].body
    assert 77 in (body.get("max_tokens"), body.get("max_completion_tokens")), json.dumps(body)


def test_a_requests_per_minute_limit_is_429_with_retry_after(own, upstream):
    running = own(PRICED)
    upstream.script("priced", replay(cases.recordings()["chat", "schema", False]))
    key = running.key("--name", "slow", "--rpm", "2")
    found = [running.call("POST", CHAT, _say(), key=key["key"]) for _ in range(4)]
    assert [status for status, _, _ in found][:2] == [200, 200]
    assert found[-1][0] == 429 and int(found[-1][1]["retry-after"]) >= 1
    assert running.call("POST", CHAT, _say(), key=ADMIN)[0] == 200
