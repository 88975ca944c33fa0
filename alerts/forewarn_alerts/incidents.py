"""
Incidents: which hits belong together, and whom to tell. One transaction a batch: all of it is true, or none.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Final

import msgspec
from sqlalchemy import Connection, Engine, bindparam, select, update

from forewarn_alerts.journal import Event, EventKind, write_events
from forewarn_alerts.notify.interface import Page
from forewarn_alerts.open_calls import (
    Awaited,
    Overdue,
    await_ends,
    close_calls,
    forget_old_ends,
    next_due_ns,
    take_overdue,
)
from forewarn_alerts.pages import Hit, Links, page_of
from forewarn_alerts.record import Closed
from forewarn_alerts.tables import (
    HITS,
    INCIDENTS,
    OUTBOX,
    DeliveryState,
    IncidentState,
    create_tables,
    insert_all,
    insert_new,
    reading,
)

_KNOWN_HIT: Final = select(HITS.c.key).where(HITS.c.key == bindparam("hit"))
_JOINABLE: Final = (
    select(INCIDENTS.c.id)
    .where(INCIDENTS.c.rule == bindparam("rule"), INCIDENTS.c.group_key == bindparam("group_key"))
    .where(INCIDENTS.c.state != IncidentState.RESOLVED, INCIDENTS.c.opened_at_ns > bindparam("oldest"))
    .order_by(INCIDENTS.c.opened_at_ns.desc())
    .limit(1)
)
_COUNT_HIT: Final = (
    update(INCIDENTS)
    .where(INCIDENTS.c.id == bindparam("incident"))
    .values(hits=INCIDENTS.c.hits + 1, last_hit_at_ns=bindparam("at_ns"))
)

Routes = Mapping[str, Sequence[str]]
"""Route -> names of targets."""


@dataclass(frozen=True, slots=True)
class Findings:
    """What a batch of records means for the state."""

    hits: Sequence[Hit] = ()
    awaited: Sequence[Awaited] = ()
    closed: Sequence[Closed] = field(default=())

    def __bool__(self) -> bool:
        return bool(self.hits or self.awaited or self.closed)


class Incidents:
    """The incidents of one installation."""

    def __init__(
        self, engine: Engine, routes: Routes, *, clock_ns: Callable[[], int], links: Links | None = None
    ) -> None:
        create_tables(engine)
        self._engine = engine
        self._routes = routes
        self._clock_ns = clock_ns
        self._links = links or Links()

    def record(self, findings: Findings) -> int:
        """Make a batch of findings durable; the number of incidents it opened. Findings seen before change nothing."""
        with self._engine.begin() as connection:
            close_calls(connection, findings.closed, now_ns=self._clock_ns())
            await_ends(connection, findings.awaited)
            return sum(self._record(connection, hit) for hit in findings.hits)

    def rehearse(self, findings: Findings) -> list[Page]:
        """Do all that `record` does, but keep nothing; the pages that would have gone to the outbox."""
        with self._engine.connect() as connection, connection.begin() as transaction:
            close_calls(connection, findings.closed, now_ns=self._clock_ns())
            await_ends(connection, findings.awaited)
            for hit in findings.hits:
                self._record(connection, hit)
            transaction.rollback()
        return [page_of(hit, _incident_id(hit), self._links) for hit in findings.hits]

    def expire(self, as_of_ns: int, to_hit: Callable[[Overdue], Hit | None]) -> int:
        """Turn every call overdue at `as_of_ns` into a hit; the number of incidents opened."""
        with self._engine.begin() as connection:
            hits = [to_hit(overdue) for overdue in take_overdue(connection, as_of_ns=as_of_ns)]
            forget_old_ends(connection, now_ns=as_of_ns)
            return sum(self._record(connection, hit) for hit in hits if hit is not None)

    def next_due_ns(self) -> int | None:
        """When the next awaited end is overdue."""
        with reading(self._engine) as connection:
            return next_due_ns(connection)

    def _record(self, connection: Connection, hit: Hit) -> bool:
        """Count a hit once, in the incident it joins or opens; whether it opened one."""
        if connection.execute(_KNOWN_HIT, {"hit": hit.key}).first():
            return False
        joined = self._joined(connection, hit)
        incident = joined or _incident_id(hit)
        if joined is None:
            self._open(connection, hit, incident)
        insert_all(connection, HITS, [_hit_row(hit, incident)])
        if joined is not None:
            connection.execute(_COUNT_HIT, {"incident": incident, "at_ns": hit.at_ns})
            write_events(connection, [self._event(hit, incident, EventKind.INCIDENT_HIT, f"{hit.key}:hit")])
        return joined is None

    def _joined(self, connection: Connection, hit: Hit) -> str | None:
        """The incident that already tells of this: same rule and group, not resolved, opened less than a repeat ago."""
        oldest = hit.at_ns - hit.rule.repeat_interval // timedelta(microseconds=1) * 1000
        asked = {"rule": hit.rule.id, "group_key": hit.group, "oldest": oldest}
        incident: str | None = connection.execute(_JOINABLE, asked).scalar()
        return incident

    def _open(self, connection: Connection, hit: Hit, incident: str) -> None:
        now_ns = self._clock_ns()
        insert_all(connection, INCIDENTS, [_incident_row(hit, incident)])
        page = msgspec.json.encode(page_of(hit, incident, self._links)).decode()
        targets = targets_of(hit.rule.notify, self._routes)
        insert_new(connection, OUTBOX, [_delivery_row(incident, target, page, now_ns) for target in targets])
        event = self._event(hit, incident, EventKind.INCIDENT_OPENED, f"{incident}:opened", targets=targets)
        write_events(connection, [event])

    def _event(self, hit: Hit, incident: str, kind: EventKind, event_id: str, **detail: Any) -> Event:
        call = hit.call
        return Event(
            id=event_id,
            time_unix_nano=self._clock_ns(),
            kind=kind,
            trace_id=call.trace_id,
            span_id=call.span_id,
            rule=hit.rule.id,
            severity=str(hit.rule.severity),
            incident=incident,
            environment=call.environment,
            service=call.service,
            detail={
                "title": hit.rule.title,
                "summary": hit.summary,
                "on": hit.on,
                "tool": call.tool,
                "agent_path": call.agent_path,
                "note": hit.note,
                **detail,
            },
        )


def targets_of(notify: Iterable[str], routes: Routes) -> list[str]:
    """Every target of the routes, once, in their order."""
    return list(dict.fromkeys(target for route in notify for target in routes[route]))


def _incident_id(hit: Hit) -> str:
    """Made from the hit that opens it: the same again should the state ever be restored from an older copy."""
    return f"inc-{hashlib.sha256(hit.key.encode()).hexdigest()[:16]}"


def _incident_row(hit: Hit, incident: str) -> dict[str, Any]:
    return {
        "id": incident,
        "rule": hit.rule.id,
        "group_key": hit.group,
        "state": IncidentState.OPEN,
        "severity": hit.rule.severity,
        "title": hit.rule.title,
        "opened_at_ns": hit.at_ns,
        "last_hit_at_ns": hit.at_ns,
        "hits": 1,
    }


def _hit_row(hit: Hit, incident: str) -> dict[str, Any]:
    return {"key": hit.key, "incident": incident, "at_ns": hit.at_ns, "call": msgspec.json.encode(hit.call).decode()}


def _delivery_row(incident: str, target: str, page: str, now_ns: int) -> dict[str, Any]:
    return {
        "id": f"{incident}.{target}.1",
        "incident": incident,
        "target": target,
        "state": DeliveryState.PENDING,
        "attempts": 0,
        "due_at_ns": now_ns,
        "created_at_ns": now_ns,
        "settled_at_ns": 0,
        "page": page,
        "answer": "",
    }
