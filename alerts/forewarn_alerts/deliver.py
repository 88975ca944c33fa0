"""
THE ROAD of an alert: take what is due -> render -> send -> record what the target answered.

Each target has a thread of its own, so that a slow or dead one holds up nobody else. Whoever opens an incident rings
the bell, so a page leaves within milliseconds; the clock is only for retries.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from itertools import product
from threading import Event, Thread
from typing import Final

from sqlalchemy.exc import SQLAlchemyError

from forewarn_alerts.bell import Bell
from forewarn_alerts.errors import WorkerDied
from forewarn_alerts.journal import Journal
from forewarn_alerts.metrics import FAILED, RETRIED, SENT, AlertsMetrics
from forewarn_alerts.notify.interface import Answer, Delivered, Rejected, Retry, Target
from forewarn_alerts.outbox import Delivery, Outbox, farthest_ns
from forewarn_alerts.rules.model import On
from forewarn_alerts.tables import DeliveryState
from forewarn_collector.log.interface import LogError

_WAIT_S: Final = 0.5
_TROUBLE_WAIT_S: Final = 1.0
_FINISH_S: Final = 15.0
"""Longer than the longest attempt."""
_OUTCOMES: Final = {DeliveryState.SENT: SENT, DeliveryState.PENDING: RETRIED, DeliveryState.FAILED: FAILED}

logger = logging.getLogger(__name__)


def _attempted(target: Target, delivery: Delivery) -> Answer:
    try:
        message = target.render(delivery.page, delivery.id)
        return target.send(message)
    # The boundary of a target: a page that it cannot even render must hold up neither its other pages nor their thread.
    except Exception as error:
        logger.exception("target %s broke on page %s", target.name, delivery.id)
        return Retry(f"a fault of the target's code: {type(error).__name__}")


class Deliverer:
    """Sends what the outbox holds, and publishes what happened to the log."""

    def __init__(
        self,
        outbox: Outbox,
        targets: Mapping[str, Target],
        journal: Journal,
        *,
        clock_ns: Callable[[], int],
        bell: Bell | None = None,
        metrics: AlertsMetrics | None = None,
    ) -> None:
        self._outbox = outbox
        self._journal = journal
        self._targets = dict(targets)
        self._clock_ns = clock_ns
        self._bell = bell or Bell()
        # Of its own, so that the journal's writing does not compete with the page that the other one rings for.
        self._settled = Bell()
        self._metrics = metrics or AlertsMetrics()
        for target, outcome in product(targets.values(), _OUTCOMES.values()):  # from zero on: the first rise is seen
            self._metrics.pages.labels(str(target.type), outcome)
        # A target that names a time (Retry-After) means all of its pages. After a restart it is simply asked once more.
        self._held_until_ns: dict[str, int] = {}
        self._workers: list[Thread] = []
        self._deaths: list[tuple[str, BaseException]] = []

    def deliver_due(self, target: Target) -> int:
        """One attempt for each page that is due at the target, until it asks for time."""
        attempts = 0
        for delivery in self._outbox.due(target.name):
            if self._is_held(target):
                break
            attempts += 1
            answer = _attempted(target, delivery)
            self._count(target, delivery, self._outbox.settle(delivery, target.type, answer))
            if not isinstance(answer, Delivered):
                logger.warning("page %s to %s was not delivered: %s", delivery.id, target.name, answer.reason)
            if isinstance(answer, Retry) and answer.after_s:
                self._held_until_ns[target.name] = self._clock_ns() + int(answer.after_s * 1e9)
        return attempts

    def _count(self, target: Target, delivery: Delivery, state: DeliveryState) -> None:
        self._metrics.pages.labels(str(target.type), _OUTCOMES[state]).inc()
        page = delivery.page
        if state is DeliveryState.SENT and page.on != On.MISSING_END:
            self._metrics.page_seconds.labels(str(target.type)).observe((self._clock_ns() - page.recorded_ns) / 1e9)

    def _is_held(self, target: Target) -> bool:
        now_ns = self._clock_ns()
        return now_ns < self._held_until_ns.get(target.name, 0) <= farthest_ns(now_ns)

    def step(self) -> int:
        """Everything that is due now, one target after the other; then the journal. The number of attempts made."""
        self._fail_abandoned()
        attempts = sum(self.deliver_due(target) for target in self._targets.values())
        self._journal.publish()
        return attempts

    def run(self, stop: Event) -> None:
        """
        Deliver until told to stop; an attempt under way is finished first.

        Raise WorkerDied as soon as a target is left without its thread. Until the stop the others go on all the same.
        """
        self._workers = [
            Thread(target=self._watched, args=(target, stop), name=f"deliver-{name}", daemon=True)
            for name, target in self._targets.items()
        ]
        for worker in self._workers:
            worker.start()
        self._patiently(self._fail_abandoned, stop)
        while not stop.is_set():
            heard = self._settled.rings
            self._raise_death()
            self._patiently(self._journal.publish, stop)
            self._settled.wait(heard, _WAIT_S)
        for worker in self._workers:
            worker.join()
        self._raise_death()
        self._patiently(self._journal.publish, stop)

    def close(self) -> None:
        """To be called once `run` has been told to stop, however it ended."""
        for worker in self._workers:
            worker.join(_FINISH_S)
        for target in self._targets.values():
            target.close()

    def _watched(self, target: Target, stop: Event) -> None:
        try:
            self._work(target, stop)
        except BaseException as death:  # noqa: BLE001 -- the boundary of a worker; `run` raises its death, whatever it is
            self._deaths.append((target.name, death))
            self._settled.ring()

    def _raise_death(self) -> None:
        for name, death in self._deaths:
            raise WorkerDied(f"the deliveries to {name} broke: {type(death).__name__}: {death}") from death

    def _work(self, target: Target, stop: Event) -> None:
        while not stop.is_set():
            heard = self._bell.rings
            if self._patiently(lambda: self.deliver_due(target), stop):
                self._settled.ring()  # the journal has something to publish
            else:
                self._bell.wait(heard, self._patience_s(target, stop))

    def _patience_s(self, target: Target, stop: Event) -> float:
        due_ns = self._patiently(lambda: self._outbox.next_due_ns(target.name), stop)
        if due_ns is None:
            return _WAIT_S
        next_ns = max(due_ns, self._held_until_ns.get(target.name, 0))
        return min(_WAIT_S, max(0.0, (next_ns - self._clock_ns()) / 1e9))

    def _fail_abandoned(self) -> int:
        """A page for a target that is gone from the configuration is on record as failed, not forgotten."""
        lost = self._outbox.abandoned(self._targets.keys())
        for delivery in lost:
            reason = f"{delivery.target} is no longer a configured target"
            logger.error("page %s is lost: %s", delivery.id, reason)
            self._outbox.settle(delivery, None, Rejected(reason))
        return len(lost)

    def _patiently(self, work: Callable[[], int | None], stop: Event) -> int | None:
        """Trouble with the log or the state is waited out; what was not recorded is done again."""
        try:
            return work()
        except (LogError, SQLAlchemyError) as error:
            if not stop.is_set():
                logger.warning("deliveries wait %s s and try again: %s", _TROUBLE_WAIT_S, error)
                stop.wait(_TROUBLE_WAIT_S)
            return None
