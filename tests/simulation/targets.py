"""Targets that remember, and that are away, slow to answer, busy or offended when fate has it so."""

from __future__ import annotations

from tests.simulation.fate import Fate
from tests.simulation.truth import Truth

from forewarn_alerts.notify.interface import Answer, Delivered, Message, Page, Rejected, Retry, TargetType


class Target:
    """One place where people are paged."""

    type = TargetType.WEBHOOK

    def __init__(self, name: str, fate: Fate, truth: Truth) -> None:
        self.name = name
        self.confirmed: set[str] = set()
        """Deliveries whose confirmation is on record for certain."""
        self.rejected: set[str] = set()
        self._unclear: str | None = None
        self._fate = fate
        self._truth = truth

    def prepare(self) -> None:
        """Nothing to load."""

    def render(self, page: Page, delivery: str) -> Message:
        return Message(f"{delivery} {page.incident}".encode(), {})

    def send(self, message: Message) -> Answer:
        fate, delivery = self._fate, message.body.decode().split()[0]
        self.settled()
        fate.point("before a page leaves")
        if fate.strikes("target is away"):
            return Retry("no answer")
        if fate.strikes("target asks for time"):
            return Retry("busy", fate.random.choice((5.0, 90.0)))
        if delivery not in self._truth.pages and fate.strikes("target rejects"):
            self.rejected.add(delivery)
            return Rejected("never")
        if delivery in self.confirmed:
            self._truth.broken(f"page {delivery} was sent again although its delivery was on record")
        self._truth.pages[delivery].append(self.name)
        fate.counts["pages received"] += 1
        fate.tell(f"{self.name} receives {delivery}")
        if fate.strikes("target answers nobody"):
            return Retry("its answer was lost")
        self._unclear = delivery
        fate.point("behind a page")
        return Delivered("yes")

    def settled(self) -> None:
        """Whoever sends the next one, or ends the step as it should, has the last one's confirmation on record."""
        if self._unclear is not None:
            self.confirmed.add(self._unclear)
        self._unclear = None

    def died(self) -> None:
        """Of the last one nothing is known."""
        self._unclear = None

    def close(self) -> None:
        """Nothing is open."""
