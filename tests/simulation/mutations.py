"""
Mutations: the real code broken in one place each, so that it is known that the simulation would find it.

A mutation is applied in a process of its own, for good, and the histories are lived as ever; the run says after how
many of them the first promise is seen to be broken.
"""

from __future__ import annotations

import fcntl
import itertools
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, Final

import forewarn_collector.sink as sink_module
from forewarn import calls, drivers
from forewarn.recording import acknowledged, spool
from forewarn.recording.drain import Drain
from forewarn.recording.interface import Acknowledgement
from forewarn.runtime import Policy
from forewarn_alerts import incidents as incidents_module
from forewarn_alerts.deliver import Deliverer
from forewarn_alerts.incidents import Incidents
from forewarn_alerts.journal import Journal
from forewarn_alerts.notify.interface import Delivered
from forewarn_alerts.tables import OUTBOX
from forewarn_alerts.watcher import DeadlineCheck, Watcher
from forewarn_collector.batches import Batch
from forewarn_collector.gateway.admission import Admission
from forewarn_collector.log.interface import Appended, Committed, TopicPartition
from forewarn_collector.sink import Sink


@dataclass(frozen=True, slots=True)
class Mutation:
    """What is broken, and how."""

    says: str
    breaks: str
    """What the history that finds it says, in part."""
    apply: Callable[[], None]


MUTATIONS: Final[dict[str, Mutation]] = {}


def _mutation(says: str, *, breaks: str) -> Callable[[Callable[[], None]], Callable[[], None]]:
    def register(apply: Callable[[], None]) -> Callable[[], None]:
        MUTATIONS[apply.__name__.strip("_").replace("_", "-")] = Mutation(says, breaks, apply)
        return apply

    return register


# --- the road of a call ---------------------------------------------------------------------------


@_mutation(
    "a destructive call goes into the spool and runs, and nobody is asked", breaks="without an acknowledged record"
)
def _nobody_is_asked() -> None:
    Policy.must_be_acknowledged = lambda self, effect: False  # type: ignore[method-assign]


@_mutation("a call runs whatever came of its acknowledgement", breaks="without an acknowledged record")
def _runs_unacknowledged() -> None:
    clear = calls.Call.clear

    def cleared(self: calls.Call, answer: Any) -> None:
        clear(self, answer if isinstance(answer, Acknowledgement) else Acknowledgement("allow"))

    calls.Call.clear = cleared  # type: ignore[method-assign]


@_mutation("the tool runs while its acknowledgement is under way", breaks="without an acknowledged record")
def _tool_before_acknowledgement() -> None:
    wait = drivers.wait

    def run_first(acknowledger: Any, request: bytes) -> Any:
        late.append(lambda: wait(acknowledger, request))
        return Acknowledgement("allow")

    late: list[Callable[[], Any]] = []
    finish = calls.Call.finish

    def finished(self: calls.Call, result: object) -> None:
        while late:
            late.pop()()
        finish(self, result)

    drivers.wait = run_first  # type: ignore[assignment]
    calls.Call.finish = finished  # type: ignore[method-assign]


@_mutation("any answer with status 200 is an acknowledgement", breaks="without an acknowledged record")
def _any_answer_will_do() -> None:
    read = acknowledged.read_answer

    def read_answer(status: int, body: bytes, request: bytes, *, url: str) -> Acknowledgement:
        return Acknowledgement("allow") if status == 200 else read(status, body, request, url=url)

    acknowledged.read_answer = read_answer


@_mutation("the start record is spooled when the call has ended", breaks="before its record was spooled")
def _spooled_after_the_run() -> None:
    spool_start, end = calls.Call._spool_start, calls.Call._end

    def ended(self: calls.Call, *outcome: Any) -> None:
        if not self._is_on_record:
            spool_start(self)
        end(self, *outcome)

    calls.Call._spool_start = lambda self: None  # type: ignore[method-assign]
    calls.Call._end = ended  # type: ignore[method-assign]


@_mutation("the spool keeps records in memory until they are sent", breaks="spooled and never stored")
def _spool_in_memory() -> None:
    append, written = spool.SegmentSpool.append, spool.SegmentSpool.written
    held: dict[int, list[Any]] = {}

    def hold(self: spool.SegmentSpool, *record: Any) -> None:
        held.setdefault(id(self), []).append(record)

    def write(self: spool.SegmentSpool) -> Any:
        for record in held.pop(id(self), []):
            append(self, *record)
        return written(self)

    spool.SegmentSpool.append, spool.SegmentSpool.written = hold, write  # type: ignore[method-assign]


@_mutation("what is about to be sent counts as arrived", breaks="spooled and never stored")
def _arrived_before_sent() -> None:
    deliver = Drain._deliver

    def delivered(self: Drain, one: Any, records: Any, *, are_starts: bool) -> None:
        if not are_starts:
            one.rest_arrived(one.next_rest())
        deliver(self, one, records, are_starts=are_starts)

    Drain._deliver = delivered  # type: ignore[method-assign,assignment]


@_mutation("the segments of the living are taken for those of the dead", breaks="")
def _living_taken_for_dead() -> None:
    fcntl.flock = lambda *_: None  # type: ignore[assignment]


# --- the road of a record -------------------------------------------------------------------------


@_mutation("the gateway answers before the log has the record", breaks="acknowledged and not stored")
def _acknowledged_before_append() -> None:
    async def append(self: Admission, topic: str, payload: Any, key: Any) -> Appended:
        headers = {"forewarn.environment": key.environment.encode()}
        for value in payload.values:
            self._log.append(topic, value, key=payload.key, headers=headers)
        return Appended(TopicPartition(topic, 0), 0, self._clock_ns())

    Admission._append = append  # type: ignore[method-assign]


@_mutation("the sink commits before it inserts", breaks="acknowledged and not stored")
def _commits_before_insert() -> None:
    insert = Sink._insert

    def committed(self: Sink, records: Sequence[Any]) -> Any:
        self._consumer.commit({records[0].at: Committed(records[-1].offset + 1)})
        return insert(self, records)

    Sink._insert = committed  # type: ignore[method-assign]


@_mutation("every insert has a token of its own", breaks="times")
def _tokens_are_new() -> None:
    numbers = itertools.count()
    sink_module.token = lambda records: f"token {next(numbers)}"


@_mutation("the sink does not note which batch it is about to insert", breaks="times")
def _forgets_the_intent() -> None:
    Batch.intent = property(lambda self: Committed(self.first))  # type: ignore[assignment,method-assign]


@_mutation("what the store refuses is passed over", breaks="not stored")
def _buries_nothing() -> None:
    Sink._bury = lambda self, rejected: None  # type: ignore[method-assign]


# --- the road of an alert -------------------------------------------------------------------------


@_mutation("the watcher commits what it has polled before its findings are on record", breaks="no hit of")
def _commits_before_findings() -> None:
    step = Watcher.step

    def stepped(self: Watcher, timeout_s: float = 0.0) -> int:
        poll = type(self._consumer).poll

        def polled(consumer: Any, **limits: Any) -> Any:
            records = poll(consumer, **limits)
            if records:
                consumer.commit({record.at: Committed(record.offset + 1) for record in records})
            return records

        type(self._consumer).poll = polled  # type: ignore[method-assign]
        try:
            return step(self, timeout_s)
        finally:
            type(self._consumer).poll = poll  # type: ignore[method-assign]

    Watcher.step = stepped  # type: ignore[method-assign]


@_mutation(
    "deliveries are written in a transaction after that of their incidents", breaks="incidents and deliveries differ"
)
def _outbox_in_a_second_transaction() -> None:
    insert_new = incidents_module.insert_new
    record = Incidents.record

    def recorded(self: Incidents, findings: Any) -> int:
        later: list[Any] = []

        def put_off(connection: Any, table: Any, rows: Any) -> None:
            if table is OUTBOX:
                later.extend(rows)
            else:
                insert_new(connection, table, rows)

        incidents_module.insert_new = put_off
        try:
            opened = record(self, findings)
        finally:
            incidents_module.insert_new = insert_new
        if later:
            with self._engine.begin() as connection:
                insert_new(connection, OUTBOX, later)
        return opened

    Incidents.record = recorded  # type: ignore[method-assign]


@_mutation("every hit opens an incident of its own", breaks="two incidents of")
def _nothing_is_joined() -> None:
    Incidents._joined = lambda self, connection, hit: None  # type: ignore[method-assign]


@_mutation("deadlines pass before everything the log held has been read", breaks="a hit of outcome-unknown")
def _deadlines_unsettled() -> None:
    DeadlineCheck.is_settled = lambda self, positions, *, idle: True  # type: ignore[method-assign]


@_mutation("a delivery is settled before it is sent", breaks="nobody was paged")
def _settled_before_sent() -> None:
    def deliver_due(self: Deliverer, target: Any) -> int:
        due = self._outbox.due(target.name)
        for delivery in due:
            self._outbox.settle(delivery, target.type, Delivered("yes"))
            target.send(target.render(delivery.page, delivery.id))
        return len(due)

    Deliverer.deliver_due = deliver_due  # type: ignore[method-assign]


@_mutation("events are forgotten before the log has them", breaks="is no event")
def _events_forgotten_first() -> None:
    publish = Journal.publish

    def published(self: Journal, *, limit: int = 500) -> int:
        append = self._log.append

        def forgotten(*args: Any, **kwargs: Any) -> Future[Appended]:
            append(*args, **kwargs)
            done: Future[Appended] = Future()
            done.set_result(Appended(TopicPartition("", 0), 0, 0))
            return done

        self._log.append = forgotten  # type: ignore[method-assign]
        try:
            return publish(self, limit=limit)
        finally:
            self._log.append = append  # type: ignore[method-assign]

    Journal.publish = published  # type: ignore[method-assign]
