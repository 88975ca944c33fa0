"""
The outbox and who empties it.
"""

from __future__ import annotations

import json
import threading
import time
from concurrent.futures import Future
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import select

from forewarn.conventions import Topic
from forewarn_alerts.bell import Bell
from forewarn_alerts.deliver import Deliverer
from forewarn_alerts.errors import WorkerDied
from forewarn_alerts.incidents import Incidents
from forewarn_alerts.journal import Journal
from forewarn_alerts.metrics import PAGE_SECONDS, PAGES, AlertsMetrics
from forewarn_alerts.notify.interface import Delivered, Message, Rejected, Retry
from forewarn_alerts.outbox import FIRST_RETRY_S, LONGEST_RETRY_S, Outbox, retry_in_s
from forewarn_alerts.rules import load_rules
from forewarn_alerts.tables import OUTBOX
from forewarn_alerts.watcher import Watcher
from forewarn_collector.log.interface import LogFull
from forewarn_collector.log.memory import MemoryLog

OUTCOMES = ("sent", "retried", "failed")


class Office:
    """A watcher, two targets and a deliverer on one state."""

    def __init__(self, kit: Any, *, clock: Any = None) -> None:
        self.kit = kit
        self.engine = kit.engine()
        self.clock = clock or kit.clock
        self.log = MemoryLog(clock_ns=self.clock)
        self.bell = Bell()
        self.targets = {name: kit.Target(name) for name in ("pager", "chat")}
        incidents = Incidents(self.engine, {"oncall": ["pager", "chat"]}, clock_ns=self.clock)
        self.watcher = Watcher(self.log, load_rules(), incidents, clock_ns=self.clock, bell=self.bell)
        self.deliverer = self.hire()

    def hire(self) -> Deliverer:
        outbox = Outbox(self.engine, clock_ns=self.clock, jitter=lambda: 0.0)
        journal, self.metrics = Journal(self.engine, self.log), AlertsMetrics()
        return Deliverer(outbox, self.targets, journal, clock_ns=self.clock, bell=self.bell, metrics=self.metrics)

    def page(self, number: int = 1) -> None:
        self.kit.send(self.log, self.kit.Call(number=number))
        self.watcher.step()

    def rows(self) -> list[Any]:
        with self.engine.connect() as connection:
            return list(connection.execute(select(OUTBOX).order_by(OUTBOX.c.id)).all())

    def events(self) -> list[dict[str, Any]]:
        reader = self.log.consumer(f"reader-{time.monotonic_ns()}", [Topic.EVENTS])
        return [json.loads(record.value) for record in reader.poll(max_records=1000)]


@pytest.fixture
def office(kit: Any) -> Office:
    return Office(kit)


def test_a_page_goes_to_each_target_once(office: Office) -> None:
    """
    Delivered is delivered: the next step sends nothing.
    """
    office.page()

    attempts = office.deliverer.step(), office.deliverer.step()

    assert attempts == (2, 0)
    assert [len(target.pages) for target in office.targets.values()] == [1, 1]
    assert {row.state for row in office.rows()} == {"sent"}


def test_what_happened_is_told_to_the_log(office: Office, kit: Any) -> None:
    """
    One event for the incident and one for each delivery, with everything the timeline shows.
    """
    office.targets["chat"].answers = [Rejected("answered 404: no_service")]
    office.page()
    office.deliverer.step()

    told = office.events()

    assert [(event["kind"], event["target"]) for event in told] == [
        ("incident.opened", ""),
        ("delivery.sent", "pager"),
        ("delivery.failed", "chat"),
    ]
    incident = told[0]["incident"]
    assert told[2] == {
        "id": f"{incident}.chat.1:failed",
        "time_unix_nano": kit.EPOCH_NS,
        "kind": "delivery.failed",
        "trace_id": kit.Call().trace_id,
        "span_id": kit.Call().span_id,
        "rule": "destructive-in-production",
        "severity": "critical",
        "incident": incident,
        "target": "chat",
        "target_type": "pagerduty",
        "environment": "production",
        "service": "billing-janitor",
        "detail": {"attempt": 1, "reason": "answered 404: no_service", "will_retry": False},
    }


def test_a_failing_target_is_tried_again_with_growing_patience(office: Office) -> None:
    """
    The first failure and the end are told; what lies between is counted.
    """
    office.targets["pager"].answers = [Retry("answered 503")] * 3
    office.page()
    waits = []
    for _ in range(4):
        office.deliverer.step()
        waits.append((office.rows()[1].due_at_ns - office.clock()) / 1e9)
        office.clock.advance(waits[-1])

    assert waits[:3] == [1.0, 2.0, 4.0]
    assert [(row.state, row.attempts) for row in office.rows()] == [("sent", 1), ("sent", 4)]
    failed = [event["detail"] for event in office.events() if event["kind"] == "delivery.failed"]
    assert failed == [{"attempt": 1, "reason": "answered 503", "will_retry": True, "retry_in_s": 1.0}]
    assert [delivery for delivery, _ in office.targets["pager"].pages] == [office.rows()[1].id] * 4


def test_a_target_that_asks_for_time_is_left_alone(office: Office) -> None:
    """
    Retry-After holds for every page to that target, and for no other target.
    """
    pager, chat = office.targets.values()
    pager.answers = [Retry("answered 429", 30.0)]
    office.page(1)
    office.page(2)
    office.deliverer.step()
    office.page(3)
    office.clock.advance(29)
    office.deliverer.step()
    assert (len(pager.pages), len(chat.pages)) == (1, 3)

    office.clock.advance(2)
    office.deliverer.step()

    assert {row.state for row in office.rows()} == {"sent"}
    assert len(pager.pages) == 4


def test_a_page_nobody_takes_for_a_day_is_given_up_on_record(office: Office) -> None:
    """
    It is failed, told, and not forgotten.
    """
    office.targets["pager"].answers = [Retry("answered 503", 3600.0)] * 30
    office.page()
    for _ in range(26):
        office.deliverer.step()
        office.clock.advance(3601)

    assert [row.state for row in office.rows()] == ["sent", "failed"]
    assert office.rows()[1].attempts == 25
    assert office.events()[-1]["detail"]["reason"] == "given up after 1 day, 0:00:00: answered 503"


def test_a_clock_that_jumps_a_day_ahead_gives_no_page_up(office: Office) -> None:
    """
    A page that was tried a few times is tried on, whatever the clock says of its age.
    """
    office.targets["pager"].answers = [Retry("answered 503")] * 2
    office.page()
    office.deliverer.step()

    office.clock.advance(86_500)
    office.deliverer.step()
    office.clock.advance(LONGEST_RETRY_S)
    office.deliverer.step()

    assert {row.state for row in office.rows()} == {"sent"}


@pytest.mark.parametrize("asked_s", [None, 30.0], ids=["by our own patience", "by the target's"])
def test_a_clock_that_goes_back_delays_no_page(office: Office, asked_s: float | None) -> None:
    """
    A page that was put off before the clock went back by hours is tried at once, not hours later.
    """
    office.targets["pager"].answers = [Retry("answered 503", asked_s)]
    office.page()
    office.deliverer.step()

    office.clock.advance(-7200)
    office.deliverer.step()

    assert {row.state for row in office.rows()} == {"sent"}


def test_attempts_and_their_times_are_counted(office: Office) -> None:
    """
    By what became of them; the time is from the record in the log to the target's yes.
    """
    office.targets["pager"].answers = [Retry("answered 503"), Delivered("yes")]
    office.targets["chat"].answers = [Rejected("answered 404")]
    office.page()
    office.deliverer.step()
    office.clock.advance(2)

    office.deliverer.step()

    value = office.metrics.registry.get_sample_value
    counted = {outcome: value(PAGES, {"target_type": "pagerduty", "outcome": outcome}) for outcome in OUTCOMES}
    assert counted == {"sent": 1.0, "retried": 1.0, "failed": 1.0}
    assert value(f"{PAGE_SECONDS}_sum", {"target_type": "pagerduty"}) == 2.0


def test_a_page_for_a_target_that_is_gone_is_failed_on_record(office: Office) -> None:
    """
    Somebody removed the target while the page waited.
    """
    office.page()
    del office.targets["chat"]

    office.hire().step()

    assert [(row.target, row.state) for row in office.rows()] == [("chat", "failed"), ("pager", "sent")]


def test_a_crash_while_a_page_is_under_way_sends_it_again_under_the_same_id(office: Office, kit: Any) -> None:
    """
    Never lost; and the receiver can tell that it is the same.
    """

    class Killed(BaseException):
        pass

    class Dying(kit.Target):  # type: ignore[misc,name-defined]
        def send(self, message: Message) -> Delivered:
            raise Killed

    office.page()
    healthy = office.targets["pager"]
    office.targets["pager"] = dying = Dying("pager")
    with pytest.raises(Killed):
        office.hire().step()

    office.targets["pager"] = healthy
    office.hire().step()

    assert [delivery for delivery, _ in dying.pages] == [delivery for delivery, _ in healthy.pages]
    assert {row.state for row in office.rows()} == {"sent"}


def test_a_page_that_breaks_a_target_does_not_hold_up_the_next(office: Office, kit: Any) -> None:
    """
    The fault is on record and logged; the thread and the other pages go on.
    """

    class Fragile(kit.Target):  # type: ignore[misc,name-defined]
        def send(self, message: Message) -> Delivered:
            if len(self.pages) == 1:
                raise ZeroDivisionError
            return Delivered("yes")

    office.targets["pager"] = Fragile("pager")
    office.page(1)
    office.page(2)

    office.hire().step()

    waiting = [(row.state, row.answer) for row in office.rows() if row.target == "pager"]
    assert sorted(waiting) == [("pending", "a fault of the target's code: ZeroDivisionError"), ("sent", "yes")]


def test_events_that_the_log_refuses_are_kept(office: Office) -> None:
    """
    They are forgotten only once the log has them.
    """

    class Full:
        def append(self, *_: Any, **__: Any) -> Future[Any]:
            refused: Future[Any] = Future()
            refused.set_exception(LogFull("full"))
            return refused

    office.page()
    with pytest.raises(LogFull):
        Journal(office.engine, Full()).publish()  # type: ignore[arg-type]

    office.deliverer.step()

    assert [event["kind"] for event in office.events()] == ["incident.opened", "delivery.sent", "delivery.sent"]


def test_a_dead_target_holds_up_nobody_and_the_bell_wakes_at_once(kit: Any) -> None:
    """
    While one target never answers, the page is at the other within moments, though nobody polls that fast.
    """
    released = threading.Event()

    class Dead(kit.Target):  # type: ignore[misc,name-defined]
        def send(self, message: Message) -> Delivered:
            released.wait(20)
            return Delivered("at last")

    office = Office(kit, clock=time.time_ns)
    office.targets["pager"] = Dead("pager")
    stop = threading.Event()
    deliverer = office.hire()
    running = threading.Thread(target=deliverer.run, args=(stop,))
    running.start()
    for number in (1, 2, 3):
        office.page(number)

    deadline = time.monotonic() + 10
    while len(office.targets["chat"].pages) < 3 and time.monotonic() < deadline:
        stop.wait(0.005)
    delivered = len(office.targets["chat"].pages)
    released.set()
    stop.set()
    running.join(10)
    deliverer.close()

    assert delivered == 3
    assert not running.is_alive()
    assert all(target.closed for target in office.targets.values())


def test_a_worker_that_dies_is_raised_by_run_and_the_others_go_on(kit: Any) -> None:
    """
    Whoever runs the deliverer learns of it at once; until the stop the other targets get their pages.
    """
    office = Office(kit, clock=time.time_ns)
    deliverer, stop = office.hire(), threading.Event()
    deliver_due = deliverer.deliver_due

    def breaking(target: Any) -> int:
        if target.name == "pager":
            raise KeyError("no such column")
        return deliver_due(target)

    deliverer.deliver_due = breaking  # type: ignore[method-assign]
    try:
        with pytest.raises(WorkerDied, match="the deliveries to pager broke: KeyError: 'no such column'") as caught:
            deliverer.run(stop)
        office.page()
        deadline = time.monotonic() + 10
        while not office.targets["chat"].pages and time.monotonic() < deadline:
            stop.wait(0.005)
    finally:
        stop.set()
        deliverer.close()

    assert isinstance(caught.value.__cause__, KeyError)
    assert len(office.targets["chat"].pages) == 1
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("deliver-")]


@given(st.integers(1, 10_000), st.floats(0, 1))
def test_waits_are_bounded(attempts: int, jitter: float) -> None:
    """
    Never shorter than half the first wait, never longer than the longest, however often it failed.
    """
    assert FIRST_RETRY_S / 2 <= retry_in_s(attempts, jitter) <= LONGEST_RETRY_S


def test_a_bell_rung_before_anyone_listens_is_heard() -> None:
    """
    Work made between a look and a wait is not slept over.
    """
    bell = Bell()
    heard = bell.rings
    bell.ring()
    began = time.monotonic()

    bell.wait(heard, 30)

    assert time.monotonic() - began < 5
