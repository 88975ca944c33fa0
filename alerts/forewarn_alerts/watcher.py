"""
THE ROAD of a record to an alert: read -> match -> record the findings -> commit.

Start records are read before bulk, and bulk in small pieces, so that a start waits little. Positions are committed
after the state transaction, and lazily: what a crash makes it read again is known by its keys and changes nothing.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from threading import Event
from typing import Final

from sqlalchemy.exc import SQLAlchemyError

from forewarn.conventions import Topic
from forewarn_alerts.bell import Bell
from forewarn_alerts.errors import Unreadable
from forewarn_alerts.incidents import Findings, Incidents
from forewarn_alerts.metrics import AlertsMetrics
from forewarn_alerts.open_calls import Awaited, Overdue
from forewarn_alerts.pages import Hit, hit_of, missing_end_hit, rule_error_hit
from forewarn_alerts.record import CallRecord, Closed, read_calls
from forewarn_alerts.rules.engine import RuleError, RuleSet
from forewarn_alerts.rules.model import On
from forewarn_alerts.skimming import concerns_nobody
from forewarn_collector.log.interface import Committed, Log, LogError, Record, TopicPartition
from forewarn_collector.tools.tool_list import ToolList

GROUP: Final = "watcher"
TOPICS: Final = (str(Topic.STARTS), str(Topic.SPANS))
CHUNK_RECORDS: Final = 64
CHUNK_BYTES: Final = 1 << 20
"""About 2 ms of bulk: the longest that a start record waits for the bulk before it."""
COMMIT_EVERY_NS: Final = 1_000_000_000
_WAIT_S: Final = 0.5
_WAIT_FOR_ENDS_S: Final = 0.02
_TROUBLE_WAIT_S: Final = 1.0

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class DeadlineCheck:
    """Deadlines up to `as_of_ns` hold only once everything the log held by then has been read."""

    as_of_ns: int
    ends: Mapping[TopicPartition, int]

    def is_settled(self, positions: Mapping[TopicPartition, int], *, idle: bool) -> bool:
        """`idle`: a poll made after the check began found nothing; that vouches for partitions never read from."""
        return all(positions.get(at, end if idle or not end else -1) >= end for at, end in self.ends.items())


@dataclass(slots=True)
class Judgement:
    """What a chunk of the log means: pure data, nothing has happened yet."""

    findings: Findings
    unreadable: int = 0
    errors: list[RuleError] = field(default_factory=list)


def judge(records: Iterable[Record], rules: RuleSet, tools: ToolList) -> Judgement:
    """Match a chunk of the log against the rules."""
    hits: list[Hit] = []
    awaited: list[Awaited] = []
    closed: list[Closed] = []
    judgement = Judgement(Findings(hits, awaited, closed))
    for record in records:
        if not tools.entries and concerns_nobody(record, rules):
            continue
        try:
            for found in read_calls(record, rules, tools):
                if isinstance(found, Closed) or found.ended_ns:
                    closed.append(Closed(found.trace_id, found.span_id))
                if isinstance(found, CallRecord):
                    matches, errors = rules.match(found)
                    judgement.errors += errors
                    awaited += [Awaited(match.rule, match.call) for match in matches if match.rule.on is On.MISSING_END]
                    hits += [hit_of(match) for match in matches if match.rule.on is not On.MISSING_END]
        except Unreadable as error:
            judgement.unreadable += 1
            logger.warning("%s: skipped, the sink keeps it in %s", error, Topic.DEAD_LETTERS)
    # A rule that fails usually fails on every record: one hit a chunk says so, the count says how often.
    hits += [rule_error_hit(error) for error in {error.rule.id: error for error in reversed(judgement.errors)}.values()]
    return judgement


def _earliest(due_ns: int | None, findings: Findings) -> int | None:
    """When to look for overdue calls; too early, where the call has ended since, costs one look."""
    dues = [start.due_at_ns for start in findings.awaited]
    return min(dues if due_ns is None else [due_ns, *dues], default=None)


class Watcher:
    """One member of the consumer group `watcher`."""

    def __init__(  # noqa: PLR0913 -- what a process is made of
        self,
        log: Log,
        rules: RuleSet,
        incidents: Incidents,
        *,
        clock_ns: Callable[[], int],
        tools: ToolList | None = None,
        bell: Bell | None = None,
        metrics: AlertsMetrics | None = None,
    ) -> None:
        self._log = log
        self._rules = rules
        self._incidents = incidents
        self._tools = tools or ToolList()
        self._clock_ns = clock_ns
        self._bell = bell or Bell()
        self._consumer = log.consumer(GROUP, TOPICS)
        self._positions = self._committed()
        self._uncommitted: set[TopicPartition] = set()
        self._committed_at_ns = clock_ns()
        self._unsettled: list[Record] = []
        self._check: DeadlineCheck | None = None
        self._next_due_ns = incidents.next_due_ns()
        self._metrics = metrics or AlertsMetrics()
        for rule in rules.rules:  # from zero on: the first rise is seen
            self._metrics.hits.labels(rule.id)
            self._metrics.rule_errors.labels(rule.id)

    def step(self, timeout_s: float = 0.0) -> int:
        """Take one chunk down the road; the number of log records in it. A step that raised is repeated by the next."""
        self._unsettled = self._unsettled or self._consumer.poll(
            max_records=CHUNK_RECORDS, max_bytes=CHUNK_BYTES, timeout_s=timeout_s
        )
        judgement = judge(self._unsettled, self._rules, self._tools)
        if judgement.findings:
            self._opened(self._incidents.record(judgement.findings))
            self._next_due_ns = _earliest(self._next_due_ns, judgement.findings)
        self._count(judgement)
        for record in self._unsettled:
            self._positions[record.at] = record.offset + 1
            self._uncommitted.add(record.at)
        read, self._unsettled = len(self._unsettled), []
        self._expire(idle=not read)
        # A clock that was set back must not keep the log from forgetting what was read.
        if not 0 <= self._clock_ns() - self._committed_at_ns < COMMIT_EVERY_NS:
            self.commit()
        return read

    def run(self, stop: Event) -> None:
        """Step until told to stop. Trouble with the log or the state is waited out: nothing is skipped for it."""
        while not stop.is_set():
            try:
                self.step(self._patience_s())
            except (LogError, SQLAlchemyError) as error:
                if not stop.is_set():
                    logger.warning("the watcher waits %s s and tries again: %s", _TROUBLE_WAIT_S, error)
                    stop.wait(_TROUBLE_WAIT_S)

    def commit(self) -> None:
        """Commit how far the findings are durable."""
        self._committed_at_ns = self._clock_ns()
        if self._uncommitted:
            self._consumer.commit({at: Committed(self._positions[at]) for at in self._uncommitted})
            self._uncommitted.clear()

    def close(self) -> None:
        """Commit and leave the group."""
        try:
            self.commit()
        finally:
            self._consumer.close()

    def _expire(self, *, idle: bool) -> None:
        """Page for calls whose end is overdue, but only once all that the log held at that time has been read."""
        if self._check is None:
            now_ns = self._clock_ns()
            if self._next_due_ns is None or self._next_due_ns > now_ns:
                return
            self._check = DeadlineCheck(now_ns, self._log.end_offsets(TOPICS))
            idle = False
        if self._check.is_settled(self._positions, idle=idle):
            self._opened(self._incidents.expire(self._check.as_of_ns, self._overdue_hit))
            self._check = None
            self._next_due_ns = self._incidents.next_due_ns()

    def _overdue_hit(self, overdue: Overdue) -> Hit | None:
        rule = self._rules.get(overdue.rule)
        return missing_end_hit(rule, overdue.call, due_at_ns=overdue.due_at_ns) if rule else None

    def _opened(self, incidents: int) -> None:
        self._metrics.incidents.inc(incidents)
        if incidents:
            self._bell.ring()

    def _count(self, judgement: Judgement) -> None:
        self._metrics.records.inc(len(self._unsettled))
        self._metrics.unreadable.inc(judgement.unreadable)
        for hit in judgement.findings.hits:
            self._metrics.hits.labels(hit.rule.id).inc()
        for error in judgement.errors:
            self._metrics.rule_errors.labels(error.rule.id).inc()
            logger.error("rule %s failed on span %s: %s", error.rule.id, error.call.span_id, error.message)

    def _committed(self) -> dict[TopicPartition, int]:
        known = {at: self._consumer.committed(at) for at in self._log.end_offsets(TOPICS)}
        return {at: committed.offset for at, committed in known.items() if committed is not None}

    def _patience_s(self) -> float:
        """How long a poll may wait: not past the next deadline."""
        if self._check is not None:
            return _WAIT_FOR_ENDS_S
        if self._next_due_ns is None:
            return _WAIT_S
        return min(_WAIT_S, max(0.0, (self._next_due_ns - self._clock_ns()) / 1e9))
