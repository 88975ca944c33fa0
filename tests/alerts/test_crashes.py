"""
Histories with crashes, repeats and reorderings: no page is lost, none is doubled.
"""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import event, select

from forewarn.conventions import Topic
from forewarn_alerts.deliver import Deliverer
from forewarn_alerts.incidents import Incidents
from forewarn_alerts.journal import Journal
from forewarn_alerts.notify.interface import Answer, Delivered, Message, Retry
from forewarn_alerts.outbox import Outbox
from forewarn_alerts.rules import load_rules
from forewarn_alerts.tables import INCIDENTS, OUTBOX
from forewarn_alerts.watcher import GROUP, TOPICS, Watcher
from forewarn_collector.log.interface import Committed, TopicPartition
from forewarn_collector.state.engine import open_state

RULES = load_rules()
NUMBERS = st.integers(1, 4)

ACTIONS = st.one_of(
    st.tuples(st.just("start"), NUMBERS),
    st.tuples(st.just("end"), NUMBERS),
    st.tuples(st.just("watch"), st.none()),
    st.tuples(st.just("watch, dying at statement"), st.integers(0, 14)),
    st.tuples(st.just("restart"), st.none()),
    st.tuples(st.just("rewind"), st.sampled_from([TOPICS, TOPICS[:1], TOPICS[1:]])),
    st.tuples(st.just("commit"), st.none()),
    st.tuples(st.just("deliver"), st.none()),
    st.tuples(st.just("deliver, dying at statement"), st.integers(0, 12)),
    st.tuples(st.just("deliver, dying after the send"), st.none()),
    st.tuples(st.just("deliver, told to come back"), st.none()),
)


class Died(Exception):
    """The process is gone, in the middle of a transaction."""


class Killed(BaseException):
    """The process is gone, in the middle of a send: nothing in it can catch that."""


class History:
    """One installation that lives through a list of actions."""

    def __init__(self, kit: Any, target: Any) -> None:
        self.kit = kit
        self.target = target
        self.engine = open_state("sqlite://")
        self.log = kit.log()
        self.started: set[int] = set()
        self.ended: set[int] = set()
        self.budget: int | None = None
        event.listen(self.engine, "before_cursor_execute", self._maybe_die)
        self.restart()

    def _maybe_die(self, *_: Any) -> None:
        if self.budget is not None:
            self.budget -= 1
            if self.budget < 0:
                raise Died

    def restart(self) -> None:
        self.budget = None
        incidents = Incidents(self.engine, {"oncall": ["pager"]}, clock_ns=self.kit.clock)
        self.watcher = Watcher(self.log, RULES, incidents, clock_ns=self.kit.clock)
        outbox = Outbox(self.engine, clock_ns=self.kit.clock, jitter=lambda: 0.0)
        journal = Journal(self.engine, self.log)
        self.deliverer = Deliverer(outbox, {"pager": self.target}, journal, clock_ns=self.kit.clock)

    def act(self, action: str, argument: Any) -> None:
        match action.partition(", ")[0]:
            case "start":
                self.kit.send(self.log, self.kit.Call(number=argument))
                self.started.add(argument)
            case "end":
                self.kit.send(self.log, self.kit.Call(number=argument), ended=True)
                self.ended.add(argument)
            case "rewind":
                consumer = self.log.consumer(GROUP, TOPICS)
                consumer.commit({TopicPartition(topic, 0): Committed(0) for topic in argument})
                self.restart()
            case "restart":
                self.restart()
            case "commit":
                self.watcher.commit()
            case "watch":
                self._dying(self.watcher.step, argument)
            case "deliver":
                self.target.dies = action.endswith("after the send")
                self.target.busy = action.endswith("come back")
                self._dying(self.deliverer.step, argument)
                self.target.dies = self.target.busy = False

    def _dying(self, step: Any, budget: int | None) -> None:
        self.budget = budget
        try:
            step()
        except (Died, Killed):
            self.restart()
        self.budget = None

    def settle(self) -> None:
        """Everything that is still to come, comes."""
        for _ in range(4):
            while self.watcher.step():
                pass
            self.watcher.step()
            self.deliverer.step()
            self.kit.clock.advance(61)

    def rows(self, table: Any) -> list[Any]:
        with self.engine.connect() as connection:
            return list(connection.execute(select(table)).all())

    def event_kinds(self) -> Counter[str]:
        """Kinds of the events in the log, each id once."""
        found = {}
        for record in self.log.consumer("reader", [Topic.EVENTS]).poll(max_records=10_000):
            told = json.loads(record.value)
            found[told["id"]] = told["kind"]
        return Counter(found.values())


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(ACTIONS, max_size=25))
def test_no_history_loses_or_doubles_a_page(kit: Any, actions: list[tuple[str, Any]]) -> None:
    """
    However it crashed: one incident and one delivery a call, and one for each outcome that stayed unknown.
    """

    class Pager(kit.Target):  # type: ignore[misc,name-defined]
        dies = busy = False

        def send(self, message: Message) -> Answer:
            if self.busy:
                return Retry("busy", 5.0)
            self.pages.append((message.body.decode(), None))
            if self.dies:
                raise Killed
            return Delivered("yes")

        def render(self, page: Any, delivery: str) -> Message:
            return Message(delivery.encode(), {})

    pager = Pager()
    history = History(kit, pager)
    for action, argument in actions:
        history.act(action, argument)

    history.settle()

    unknown = history.started - history.ended
    expected = Counter({"destructive-in-production": len(history.started), "outcome-unknown": len(unknown)})
    assert Counter(row.rule for row in history.rows(INCIDENTS)) == +expected
    assert {row.state for row in history.rows(OUTBOX)} <= {"sent"}
    assert {delivery for delivery, _ in pager.pages} == {row.id for row in history.rows(OUTBOX)}
    total = sum(expected.values())
    assert len(history.rows(OUTBOX)) == total
    kinds = history.event_kinds()
    assert (kinds["incident.opened"], kinds["delivery.sent"]) == (total, total)
    history.engine.dispose()


@pytest.mark.parametrize("budget", range(12))
def test_a_page_survives_a_crash_at_every_statement_of_its_delivery(kit: Any, budget: int) -> None:
    """
    It is sent again under the same id where the crash came before its answer was on record.
    """
    target = kit.Target()
    history = History(kit, target)
    history.act("start", 1)
    history.act("watch", None)

    history.act("deliver, dying at statement", budget)
    history.deliverer.step()

    assert {delivery for delivery, _ in target.pages} == {row.id for row in history.rows(OUTBOX)}
    assert [row.state for row in history.rows(OUTBOX)] == ["sent"]
    history.engine.dispose()
