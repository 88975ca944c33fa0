"""
The sender: what is in the spool arrives, start records first, however long the gateway stays away.
"""

from __future__ import annotations

import logging
import subprocess
import sys
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest

import forewarn
from forewarn import configuration
from forewarn.recording.drain import Drain, NotNow
from forewarn.recording.gateway import Answer, Verdict
from forewarn.recording.interface import FrameKind
from forewarn.recording.sender import Sender
from forewarn.recording.spool import SegmentSpool

START, OTHER = FrameKind.START, FrameKind.OTHER


class Wire:
    """A transport that keeps what it is sent; `answers` are given first, then everything is taken."""

    def __init__(self, *answers: Answer) -> None:
        self.sent: list[tuple[bool, bytes]] = []
        self._answers = list(answers)

    def send(self, request: bytes, *, are_starts: bool) -> Answer:
        reply = self._answers.pop(0) if self._answers else Answer(Verdict.TAKEN)
        if reply.verdict is Verdict.TAKEN:
            self.sent.append((are_starts, request))
        return reply

    def close(self) -> None: ...


def make(folder: Path, sender: str = "me", *, segment_bytes: int = 1 << 23) -> SegmentSpool:
    spool = SegmentSpool(folder, sender, b"", max_bytes=1 << 30)
    spool.segment_bytes = segment_bytes
    return spool


def test_start_records_go_first(tmp_path: Path) -> None:
    """
    Whatever order they were written in, the starts of a round travel in their own request, ahead of the rest.
    """
    spool, wire = make(tmp_path), Wire()
    for record in (b"end-1", b"end-2"):
        spool.append(OTHER, record)
    spool.append(START, b"start-3")

    Drain(spool, wire).round()

    assert [(are_starts, b"start-3" in body, b"end-2" in body) for are_starts, body in wire.sent] == [
        (True, True, False),
        (False, False, True),
    ]
    spool.close()


def test_a_start_that_comes_meanwhile_overtakes_the_bulk(tmp_path: Path) -> None:
    """
    Between two batches of waiting records the sender looks for new start records.
    """
    spool = make(tmp_path)
    for _ in range(3):
        spool.append(OTHER, b"bulk" + b"x" * 700_000)

    class Interrupted(Wire):
        def send(self, request: bytes, *, are_starts: bool) -> Answer:
            if len(self.sent) == 0:
                spool.append(START, b"urgent")
            return super().send(request, are_starts=are_starts)

    wire = Interrupted()
    Drain(spool, wire).round()

    assert [are_starts for are_starts, _ in wire.sent] == [False, True, False, False]
    spool.close()


def test_what_has_arrived_is_not_sent_again_and_its_file_is_removed(tmp_path: Path) -> None:
    """
    The acknowledged offset moves with every batch; sealed segments that arrived whole are gone.
    """
    spool, wire = make(tmp_path, segment_bytes=2000), Wire()
    drain = Drain(spool, wire)
    for number in range(50):
        spool.append(OTHER, b"<%03d>" % number + b"." * 100)
    drain.round()
    drain.round()

    sent = b"".join(body for _, body in wire.sent)
    assert [sent.count(b"<%03d>" % number) for number in range(50)] == [1] * 50
    assert len(list(tmp_path.glob("*.segment"))) == 1
    spool.close()


def test_nothing_is_lost_while_the_gateway_is_away(tmp_path: Path) -> None:
    """
    A round that is turned away changes nothing; the next one sends everything once.
    """
    spool = make(tmp_path)
    wire = Wire(Answer(Verdict.TAKEN), Answer(Verdict.LATER, "busy"))
    drain = Drain(spool, wire)
    spool.append(START, b"start-1")
    spool.append(OTHER, b"end-1")

    with pytest.raises(NotNow, match="busy"):
        drain.round()
    drain.round()

    assert [are_starts for are_starts, _ in wire.sent] == [True, False]
    spool.close()


def test_a_poisonous_record_does_not_stop_its_neighbours(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """
    A batch that the gateway calls bad is halved until the bad record stands alone; that one is dropped and named.
    """
    spool = make(tmp_path)

    class Picky(Wire):
        def send(self, request: bytes, *, are_starts: bool) -> Answer:
            if b"poison" in request:
                return Answer(Verdict.POISON, "not a span")
            return super().send(request, are_starts=are_starts)

    wire = Picky()
    for number in range(20):
        spool.append(OTHER, b"poison" if number == 13 else b"good-%02d" % number)
    Drain(spool, wire).round()

    sent = b"".join(body for _, body in wire.sent)
    assert [number for number in range(20) if b"good-%02d" % number not in sent] == [13]
    assert "drops one record of 6 bytes" in caplog.text
    spool.close()


def test_what_a_dead_process_left_is_sent(tmp_path: Path) -> None:
    """
    Segments without a living owner are adopted, those of a living one are not.
    """
    dead, alive = make(tmp_path, "dead"), make(tmp_path, "alive")
    dead.append(START, b"from the dead")
    alive.append(START, b"from the living")
    dead.drop_copies()
    spool, wire = make(tmp_path), Wire()
    drain = Drain(spool, wire)

    drain.adopt()
    drain.round()

    assert len(wire.sent) == 1
    assert b"from the dead" in wire.sent[0][1]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["alive-000001.segment", "alive.lock"]
    alive.close()


def test_an_adopter_that_dies_leaves_the_rest_to_the_next(tmp_path: Path) -> None:
    """
    Adopted segments go back when the adopter closes before they have arrived.
    """
    dead = make(tmp_path, "dead")
    dead.append(OTHER, b"still here")
    dead.drop_copies()
    first = Drain(make(tmp_path, "first"), Wire(Answer(Verdict.LATER)))
    first.adopt()
    with pytest.raises(NotNow):
        first.round()
    first.close()

    wire = Wire()
    second = Drain(make(tmp_path, "second"), wire)
    second.adopt()
    second.round()

    assert b"still here" in wire.sent[0][1]
    assert list(tmp_path.iterdir()) == []


@forewarn.tool(effect="read")
def look(number: int) -> int:
    return number


def test_reads_go_on_without_a_gateway_and_arrive_later_once(
    gateway: Any, spool: Path, eventually: Callable[..., Any]
) -> None:
    """
    With the gateway stopped read calls run; when it is back each record arrives, once, from the right sender.
    """
    gateway.stop()
    forewarn.configure(service="s", endpoint=gateway.url, key=gateway.KEY, spool=spool)
    results = [look(number) for number in range(20)]
    assert forewarn.flush(timeout=0.1) is False

    gateway.start()
    assert forewarn.flush(timeout=10)

    assert results == list(range(20))
    taken = [(record["span_id"], record["record"]) for record in gateway.taken]
    assert len(taken) == len(set(taken)) == 40
    assert all(post.headers["authorization"] == f"Bearer {gateway.KEY}" for post in gateway.posts)
    starts = [post for post in gateway.posts if post.headers.get("x-forewarn-lane") == "starts"]
    assert {record["record"] for post in starts for record in post.records} == {"start"}


def test_an_address_that_takes_everything_takes_nothing(gateway: Any, spool: Path) -> None:
    """
    A 200 that is not OTLP's own answer leaves the records in the spool.
    """

    def captive(handler: BaseHTTPRequestHandler, _post: Any) -> None:
        gateway.answer(handler, 200, b"<html>Please log in</html>", "text/html")

    gateway.react = captive
    forewarn.configure(endpoint=gateway.url, key=gateway.DEVELOPMENT_KEY, spool=spool)
    look(1)
    assert forewarn.flush(timeout=0.3) is False

    gateway.react = gateway.behave
    gateway.posts.clear()

    assert forewarn.flush(timeout=10)
    assert len(gateway.taken) == 2


@pytest.mark.parametrize("status", [401, 404, 408, 429, 500, 503])
def test_a_gateway_that_turns_us_away_loses_nothing(
    gateway: Any, spool: Path, status: int, caplog: pytest.LogCaptureFixture
) -> None:
    """
    Whatever it answers but a plain yes, or that a record is bad, is asked again; the log says once what is wrong.
    """

    def refuse(handler: BaseHTTPRequestHandler, _post: Any) -> None:
        gateway.answer(handler, status, b"", "application/json", retry_after="0")

    gateway.react = refuse
    forewarn.configure(endpoint=gateway.url, key=gateway.DEVELOPMENT_KEY, spool=spool)
    look(1)
    with caplog.at_level(logging.WARNING, "forewarn"):
        assert forewarn.flush(timeout=0.5) is False
        gateway.react = gateway.behave
        gateway.posts.clear()
        assert forewarn.flush(timeout=10)

    assert len(gateway.taken) == 2
    assert caplog.text.count(f"answered {status}") == 1


def test_shutdown_sends_and_leaves_no_file(gateway: Any, spool: Path) -> None:
    """
    After a clean end nothing is in the spool and no thread is left.
    """
    forewarn.configure(endpoint=gateway.url, key=gateway.KEY, spool=spool)
    look(1)

    assert forewarn.shutdown()

    assert [path for path in spool.rglob("*") if path.is_file()] == []
    assert configuration._setup is not None
    assert not configuration._setup.sender._thread.is_alive()  # type: ignore[union-attr]
    assert len(gateway.taken) == 2


def test_after_shutdown_reads_run_unrecorded_and_say_so(
    gateway: Any, spool: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """
    A call after the end is the caller's business; it is not broken by us.
    """
    forewarn.configure(endpoint=gateway.url, key=gateway.KEY, spool=spool)
    forewarn.shutdown()

    assert look(7) == 7

    assert "closed by forewarn.shutdown()" in caplog.text


def test_configuring_again_replaces_the_setup(gateway: Any, spool: Path) -> None:
    """
    The former setup's records are sent, and its thread and files are gone.
    """
    forewarn.configure(service="one", endpoint=gateway.url, key=gateway.KEY, spool=spool)
    look(1)
    forewarn.configure(service="two", endpoint=gateway.url, key=gateway.DEVELOPMENT_KEY, spool=spool)
    look(2)
    forewarn.shutdown()

    senders = {post.headers["authorization"] for post in gateway.posts}
    assert senders == {f"Bearer {gateway.KEY}", f"Bearer {gateway.DEVELOPMENT_KEY}"}
    assert len(gateway.taken) == 4
    assert configuration._setup is not None


SLOW_END = """
import sys, forewarn
forewarn.configure(endpoint=sys.argv[1], key="fwk_test_0_0", spool=sys.argv[2])
@forewarn.tool(effect="read")
def look(number): return number
look(1)
"""


def test_the_end_of_a_process_sends_within_its_bound(gateway: Any, spool: Path) -> None:
    """
    Records are sent when the interpreter ends; a gateway that does not answer delays that for a bounded time only.
    """
    subprocess.run([sys.executable, "-c", SLOW_END, gateway.url, str(spool)], check=True, timeout=20)
    assert len(gateway.taken) == 2
    gateway.posts.clear()
    held = threading.Event()
    gateway.react = lambda _handler, _post: held.wait(30) and None

    subprocess.run([sys.executable, "-c", SLOW_END, gateway.url, str(spool)], check=True, timeout=20)

    held.set()
    assert list(spool.rglob("*.segment")) != []


def test_unforeseen_trouble_is_told_once_and_by_type(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, eventually: Callable[..., Any]
) -> None:
    """
    The thread lives and tries again; the log has one line, without the error's text, which may hold the key.
    """
    attempts: list[bytes] = []

    class Broken(Wire):
        def send(self, request: bytes, *, are_starts: bool) -> Answer:
            attempts.append(request)
            if len(attempts) < 4:
                raise ValueError("Invalid header value b'Bearer hush'")
            return super().send(request, are_starts=are_starts)

    spool = make(tmp_path)
    spool.append(START, b"kept")
    sender = Sender(Drain(spool, Broken()), linger_s=0.0)

    # Each flush cuts the pause after a failure short.
    eventually(lambda: sender.flush(0.05))
    sender.stop(1.0)

    lines = [one.getMessage() for one in caplog.records if one.levelno == logging.ERROR]
    assert len(lines) == 1
    assert "ValueError at line" in lines[0]
    assert "hush" not in caplog.text


def test_signs_of_life_go_on_while_the_gateway_turns_us_away(tmp_path: Path, eventually: Callable[..., Any]) -> None:
    """
    A wrong key means half a minute's pause for the gateway, not for the heartbeat.
    """
    spool = make(tmp_path)
    spool.append(START, b"kept")
    sender = Sender(Drain(spool, Wire(Answer(Verdict.UNWELCOME, "who are you?"))), linger_s=0.0)
    beats: list[None] = []

    def pulse() -> float:
        beats.append(None)
        return 0.0

    sender.pulse = pulse
    sender.start()

    eventually(lambda: len(beats) > 5)
    sender.stop(5.0)
    spool.close()
