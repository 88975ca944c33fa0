"""
The acknowledged road: only an answer that names the record clears a call, and nothing holds it longer than its bound.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import forewarn
from forewarn.recording.acknowledged import GatewayAcknowledger, Unconfigured, read_answer, wait, wait_async
from forewarn.recording.interface import Acknowledgement, Acknowledger, Unacknowledged
from forewarn.recording.memory import ScriptedAcknowledger

RAN: list[str] = []


@forewarn.tool(effect="destructive")
def drop(name: str) -> str:
    RAN.append(name)
    return f"dropped {name}"


@pytest.fixture(autouse=True)
def _nothing_ran() -> None:
    RAN.clear()


@pytest.fixture
def production(gateway: Any, spool: Path) -> Any:
    forewarn.configure(service="s", endpoint=gateway.url, key=gateway.KEY, spool=spool, ack_timeout=0.6)
    # What the process says of its start has arrived, so that a test's gateway is only asked what the test is about.
    assert forewarn.flush()
    gateway.posts.clear()
    return gateway


def refusal() -> forewarn.NotRecorded:
    """What the call raises; it must not have run, nor gone on until the server was done (a minute, or never)."""
    began = time.monotonic()
    with pytest.raises(forewarn.NotRecorded) as caught:
        drop("customers")
    assert time.monotonic() - began < 10
    assert RAN == []
    return caught.value


@pytest.fixture(params=["gateway", "scripted"])
def any_acknowledger(
    request: pytest.FixtureRequest, gateway: Any
) -> Iterator[tuple[Acknowledger, Callable[[str], None]]]:
    """Each implementation of the seam, and how to set what it meets: allow, deny or trouble."""
    if request.param == "scripted":
        replies = {
            "allow": Acknowledgement("allow"),
            "deny": Acknowledgement("deny", "r1", "no"),
            "trouble": Unacknowledged("r", "do"),
        }
        state = {"is": "allow"}
        yield ScriptedAcknowledger(lambda _: replies[state["is"]]), lambda mode: state.update({"is": mode})
        return

    def meet(mode: str) -> None:
        changes = {"deny": {"decision": "deny", "rule": "r1", "reason": "no"}, "trouble": {"digest": "0" * 64}}
        gateway.react = lambda handler, post: gateway.answer(
            handler, 200, gateway.acknowledgement(post, **changes.get(mode, {})), "application/json"
        )

    real = GatewayAcknowledger(gateway.url, gateway.KEY, patience_s=5)
    yield real, meet
    real.close()


async def test_contract_an_answer_or_the_reason_for_none(
    any_acknowledger: tuple[Acknowledger, Callable[[str], None]],
) -> None:
    """
    Waiting and awaiting give the same: the decision with its rule and reason, or what was in the way.
    """
    acknowledger, meet = any_acknowledger

    meet("allow")
    assert wait(acknowledger, b"x") == await wait_async(acknowledger, b"x") == Acknowledgement("allow")
    meet("deny")
    assert wait(acknowledger, b"x") == await wait_async(acknowledger, b"x") == Acknowledgement("deny", "r1", "no")
    meet("trouble")
    assert isinstance(wait(acknowledger, b"x"), Unacknowledged)
    assert isinstance(await wait_async(acknowledger, b"x"), Unacknowledged)


def test_an_acknowledged_call_runs_and_says_when(production: Any) -> None:
    """
    The start record is at the gateway before the tool runs; the end record has the decision and the times in order.
    """
    seen: list[int] = []

    @forewarn.tool(effect="destructive")
    def purge() -> None:
        seen.append(len(production.posts))

    purge()
    forewarn.flush()

    (intent,) = [post for post in production.posts if post.path == "/v1/intents"]
    (start,) = intent.records
    (end,) = production.taken
    assert seen == [1]
    assert (start["record"], end["record"], start["span_id"]) == ("start", "end", end["span_id"])
    assert end["attributes"]["forewarn.decision"] == "allow"
    assert (
        start["start_ns"]
        < end["attributes"]["forewarn.acknowledged_unix_nano"]
        <= end["attributes"]["forewarn.tool.started_unix_nano"]
        <= end["end_ns"]
    )


def test_an_undeclared_effect_takes_the_same_road(production: Any) -> None:
    """
    Unknown counts as destructive.
    """

    @forewarn.tool
    def mystery() -> int:
        return 1

    assert mystery() == 1
    assert [post.path for post in production.posts] == ["/v1/intents"]
    assert production.posts[0].records[0]["attributes"]["forewarn.effect"] == "unknown"


def test_writes_take_it_when_told_to(gateway: Any, spool: Path) -> None:
    """
    `acknowledge_writes` moves write calls to this road; without it they are spooled.
    """

    @forewarn.tool(effect="write")
    def write() -> None: ...

    forewarn.configure(endpoint=gateway.url, key=gateway.KEY, spool=spool)
    write()
    forewarn.configure(endpoint=gateway.url, key=gateway.KEY, spool=spool, acknowledge_writes=True)
    write()

    assert [post.path for post in gateway.posts].count("/v1/intents") == 1


ANSWERS = {
    "a proxy that says 200 to everything": (200, "<html>OK</html>", "text/html"),
    "an empty 200": (200, "", "application/json"),
    "no digest": (200, '{"decision": "allow"}', "application/json"),
    "another digest": (200, json.dumps({"digest": "0" * 64, "decision": "allow"}), "application/json"),
    "a list": (200, "[]", "application/json"),
    "deep nesting": (200, "[" * 60_000, "application/json"),
    "a large answer": (200, " " * (1 << 20), "application/json"),
    "not found": (404, "", "text/plain"),
    "wrong key": (401, "", "application/json"),
    "too large": (413, "", "application/json"),
    "bad request": (400, "", "application/json"),
    "moved": (302, "", "text/plain"),
    "server error": (500, "", "text/plain"),
    "busy": (503, "", "text/plain"),
    "bad gateway": (502, "", "text/plain"),
    "limited": (429, "", "text/plain"),
}


@pytest.mark.parametrize("kind", ANSWERS)
def test_what_clears_nothing(production: Any, kind: str) -> None:
    """
    An answer that does not vouch for the record refuses the call, with a text that says what was answered.
    """
    status, body, content_type = ANSWERS[kind]
    production.react = lambda handler, _post: production.answer(handler, status, body.encode(), content_type)

    text = str(refusal())

    assert f"answered {status}" in text
    assert text.startswith("The tool drop was NOT run and has changed nothing")


@given(decision=st.one_of(st.none(), st.booleans(), st.integers(), st.text(), st.lists(st.text()), st.just("Allow")))
def test_only_the_word_allow_is_allow(decision: Any) -> None:
    """
    Whatever stands where the decision should be, only the text `allow` is that decision.
    """
    body = json.dumps({"digest": hashlib.sha256(b"x").hexdigest(), "decision": decision}).encode()

    answer = read_answer(200, body, b"x", url="u")

    assert (answer.decision == "allow") == (decision == "allow")


@given(st.binary(max_size=200))
def test_noise_never_clears(body: bytes) -> None:
    """
    No random answer vouches for a record.
    """
    with pytest.raises(Unacknowledged):
        read_answer(200, body, b"x", url="u")


def test_nobody_listens(production: Any) -> None:
    """
    A gateway that is down refuses within the bound, and the refusal is on record later.
    """
    production.stop()

    error = refusal()
    production.start()
    assert forewarn.flush(timeout=10)

    assert "Connection refused" in error.reason
    assert production.url in error.reason
    assert "doctor" in error.remedy
    assert [(one["record"], one["attributes"].get("forewarn.outcome")) for one in production.taken] == [
        ("start", None),
        ("end", "refused"),
    ]


def test_the_bound_holds_against_a_slow_server(production: Any) -> None:
    """
    An answer that comes too late is no answer.
    """
    held = threading.Event()

    def slow(handler: Any, post: Any) -> None:
        held.wait(10)
        production.behave(handler, post)

    production.react = slow

    error = refusal()
    held.set()

    assert error.reason == "no acknowledgement within 0.6 s"


@pytest.mark.parametrize("part", ["headers", "body"])
def test_the_bound_holds_against_a_server_that_drips(production: Any, part: str) -> None:
    """
    One byte at a time keeps every socket timeout from firing; the call is refused within its bound all the same.
    """
    over = threading.Event()

    def drip(handler: Any, _post: Any) -> None:
        if part == "body":
            handler.wfile.write(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 1000\r\n\r\n")
        for _ in range(1000):
            handler.wfile.write(b"H" if part == "headers" else b" ")
            handler.wfile.flush()
            if over.wait(0.05):
                return

    production.react = drip

    refusal()
    over.set()


def test_a_server_that_hangs_up_is_asked_again(production: Any) -> None:
    """
    Connection trouble within the bound is retried, and the call runs when an answer comes.
    """
    attempts: list[int] = []

    def moody(handler: Any, post: Any) -> None:
        attempts.append(1)
        if len(attempts) < 3:
            handler.connection.shutdown(socket.SHUT_RDWR)
            handler.close_connection = True
        else:
            production.behave(handler, post)

    production.react = moody

    assert drop("x") == "dropped x"
    assert len(attempts) == 3


async def test_the_event_loop_is_not_blocked(production: Any) -> None:
    """
    While an async tool waits for its acknowledgement other tasks go on.
    """
    held = threading.Event()

    def slow(handler: Any, post: Any) -> None:
        held.wait(5)
        production.behave(handler, post)

    production.react = slow

    @forewarn.tool(effect="destructive")
    async def purge() -> str:
        return "purged"

    waiting = asyncio.create_task(purge())
    for _ in range(10):
        await asyncio.sleep(0.005)
    assert not waiting.done()
    held.set()

    assert await waiting == "purged"


async def test_cancelled_while_waiting_does_not_run(production: Any) -> None:
    """
    A task that is cancelled before the answer came is recorded as cancelled, its tool never runs.
    """
    held = threading.Event()

    def hold(handler: Any, post: Any) -> None:
        if post.path == "/v1/intents":
            held.wait(5)
        else:
            production.behave(handler, post)

    production.react = hold

    @forewarn.tool(effect="destructive")
    async def purge() -> None:
        RAN.append("purge")

    waiting = asyncio.create_task(purge())
    await asyncio.sleep(0.05)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    held.set()
    production.react = production.behave
    await asyncio.to_thread(forewarn.flush, 10)

    assert RAN == []
    assert [one["attributes"].get("forewarn.outcome") for one in production.taken] == [None, "cancelled"]


def test_many_threads_share_few_connections(production: Any) -> None:
    """
    Concurrent calls are each acknowledged by their own answer.
    """
    results: list[str] = []
    threads = [threading.Thread(target=lambda n=n: results.append(drop(f"{n}"))) for n in range(24)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(results) == sorted(f"dropped {n}" for n in range(24))
    assert len([post for post in production.posts if post.path == "/v1/intents"]) == 24


async def test_contract_of_the_unconfigured() -> None:
    """
    It never acknowledges, and takes no time for it.
    """
    stand_in = Unconfigured("why", "do this")

    assert wait(stand_in, b"x") == await wait_async(stand_in, b"x") == Unacknowledged("why", "do this")


@pytest.mark.parametrize("where", ["in the exchange", "before it"])
async def test_trouble_of_any_kind_clears_nothing_and_tells_no_secret(
    where: str, gateway: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    An error that nobody foresaw is a missing acknowledgement, told by its type: its text may hold the key.
    """
    acknowledger = GatewayAcknowledger(gateway.url, gateway.KEY + "\n", patience_s=5)

    def fail(_job: object) -> Any:
        raise ValueError("Bearer hush")

    if where == "before it":
        monkeypatch.setattr(acknowledger._workers, "submit", fail)

    answers = [wait(acknowledger, b"x"), await wait_async(acknowledger, b"x")]

    assert [str(answer) for answer in answers] == ["asking the gateway failed with ValueError"] * 2
    acknowledger.close()
