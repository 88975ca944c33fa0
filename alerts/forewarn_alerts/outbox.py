"""
The outbox: pages that someone must get, kept until the target has said so.

A delivery stays `pending` while it is under way, so that a crash sends it again under the same id: a page may come
twice (the target can tell by the id), it is never lost.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final, assert_never

import msgspec
from sqlalchemy import Engine, and_, bindparam, func, or_, select, update

from forewarn_alerts.journal import Event, EventKind, write_events
from forewarn_alerts.notify.interface import Answer, Delivered, Page, Rejected, Retry, TargetType
from forewarn_alerts.notify.replies import LONGEST_RETRY_AFTER_S
from forewarn_alerts.tables import OUTBOX, DeliveryState, create_tables, reading

FIRST_RETRY_S: Final = 1.0
LONGEST_RETRY_S: Final = 300.0
GIVE_UP_AFTER: Final = timedelta(days=1)
FEWEST_ATTEMPTS: Final = 20
"""A clock that jumps a day ahead does not give a page up: a day of the longest waits holds more attempts than these."""


_PENDING: Final = and_(OUTBOX.c.target == bindparam("to"), OUTBOX.c.state == DeliveryState.PENDING)
_DUE: Final = (
    select(OUTBOX)
    .where(_PENDING, or_(OUTBOX.c.due_at_ns <= bindparam("now"), OUTBOX.c.due_at_ns > bindparam("farthest")))
    .order_by(OUTBOX.c.due_at_ns)
    .limit(bindparam("limit"))
)
_NEXT_DUE: Final = select(func.min(OUTBOX.c.due_at_ns)).where(_PENDING)


@dataclass(frozen=True, slots=True)
class Delivery:
    """One page for one target."""

    id: str
    target: str
    page: Page
    attempts: int
    """Attempts that failed so far."""
    created_at_ns: int


def retry_in_s(attempts: int, jitter: float) -> float:
    """Exponential back-off; `jitter` (0 to 1) takes up to half of it away, so that pages do not go in step."""
    longest = min(FIRST_RETRY_S * 2.0 ** min(attempts - 1, 30), LONGEST_RETRY_S)
    return longest * (1 - jitter / 2)


def farthest_ns(now_ns: int) -> int:
    """No page is put off beyond this; one that seems to be was put off before the clock went back, and is due."""
    return now_ns + int(LONGEST_RETRY_AFTER_S * 1e9)


class Outbox:
    """The deliveries of one installation."""

    def __init__(
        self, engine: Engine, *, clock_ns: Callable[[], int], jitter: Callable[[], float] = random.random
    ) -> None:
        create_tables(engine)
        self._engine = engine
        self._clock_ns = clock_ns
        self._jitter = jitter

    def due(self, target: str, *, limit: int = 20) -> list[Delivery]:
        now_ns = self._clock_ns()
        asked = {"to": target, "now": now_ns, "farthest": farthest_ns(now_ns), "limit": limit}
        with reading(self._engine) as connection:
            return [_delivery(row) for row in connection.execute(_DUE, asked)]

    def next_due_ns(self, target: str) -> int | None:
        with reading(self._engine) as connection:
            due: int | None = connection.execute(_NEXT_DUE, {"to": target}).scalar()
        return due

    def abandoned(self, targets: Collection[str]) -> list[Delivery]:
        """Pending deliveries to targets that are no longer configured."""
        lost = select(OUTBOX).where(OUTBOX.c.state == DeliveryState.PENDING, OUTBOX.c.target.not_in(targets))
        with reading(self._engine) as connection:
            return [_delivery(row) for row in connection.execute(lost)]

    def settle(self, delivery: Delivery, kind: TargetType | None, answer: Answer) -> DeliveryState:
        """Make an answer durable, with the events that tell of it; what became of the delivery."""
        now_ns = self._clock_ns()
        match answer:
            case Delivered(said, reference):
                detail = {"answer": said, "reference": reference, "after_ms": (now_ns - delivery.created_at_ns) / 1e6}
                return self._write(delivery, kind, {"state": DeliveryState.SENT, "answer": said}, detail)
            case Rejected(reason):
                detail = {"reason": reason, "will_retry": False}
                return self._write(delivery, kind, {"state": DeliveryState.FAILED, "answer": reason}, detail)
            case Retry():
                return self._postpone(delivery, kind, answer, now_ns)
            case _:
                assert_never(answer)

    def _postpone(self, delivery: Delivery, kind: TargetType | None, answer: Retry, now_ns: int) -> DeliveryState:
        is_old = now_ns - delivery.created_at_ns > GIVE_UP_AFTER.total_seconds() * 1e9
        if is_old and delivery.attempts + 1 >= FEWEST_ATTEMPTS:
            detail = {"reason": f"given up after {GIVE_UP_AFTER}: {answer.reason}", "will_retry": False}
            return self._write(delivery, kind, {"state": DeliveryState.FAILED, "answer": answer.reason}, detail)
        wait_s = max(retry_in_s(delivery.attempts + 1, self._jitter()), answer.after_s or 0.0)
        due_at_ns = now_ns + int(wait_s * 1e9)
        values = {"due_at_ns": due_at_ns, "answer": answer.reason, "state": DeliveryState.PENDING}
        detail = {"reason": answer.reason, "will_retry": True, "retry_in_s": round(wait_s, 3)}
        return self._write(delivery, kind, values, detail)

    def _write(
        self, delivery: Delivery, kind: TargetType | None, values: dict[str, Any], detail: dict[str, Any]
    ) -> DeliveryState:
        attempts = delivery.attempts + 1
        state: DeliveryState = values["state"]
        values = values | {"attempts": attempts, "settled_at_ns": self._clock_ns() if state != "pending" else 0}
        with self._engine.begin() as connection:
            connection.execute(
                update(OUTBOX)
                .where(OUTBOX.c.id == delivery.id, OUTBOX.c.state == DeliveryState.PENDING)
                .values(**values)
            )
            # Of many failing attempts the first and the last are told; the outbox has the count.
            if state != DeliveryState.PENDING or attempts == 1:
                write_events(connection, [self._event(delivery, kind, state, {"attempt": attempts, **detail})])
        return state

    def _event(
        self, delivery: Delivery, kind: TargetType | None, state: DeliveryState, detail: dict[str, Any]
    ) -> Event:
        page = delivery.page
        return Event(
            id=f"{delivery.id}:{state}",
            time_unix_nano=self._clock_ns(),
            kind=EventKind.DELIVERY_SENT if state is DeliveryState.SENT else EventKind.DELIVERY_FAILED,
            trace_id=page.trace_id,
            span_id=page.span_id,
            rule=page.rule,
            severity=str(page.severity),
            incident=page.incident,
            target=delivery.target,
            target_type=str(kind or ""),
            environment=page.environment,
            service=page.service,
            detail=detail,
        )


def _delivery(row: Any) -> Delivery:
    page = msgspec.json.decode(row.page, type=Page)
    return Delivery(row.id, row.target, page, row.attempts, row.created_at_ns)
