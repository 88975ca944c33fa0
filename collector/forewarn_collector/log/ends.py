"""How far each topic goes, and the bell that wakes consumers when it goes further."""

from __future__ import annotations

import threading
from collections.abc import Mapping


class Ends:
    """The offset after the last durable record of each topic. Advanced by one writer, watched by many consumers."""

    def __init__(self) -> None:
        self._bell = threading.Condition()
        self._ends: dict[str, int] = {}
        self._closed = False

    @property
    def closed(self) -> bool:
        return self._closed

    def of(self, topic: str) -> int:
        return self._ends.get(topic, 0)

    def advance(self, ends: Mapping[str, int]) -> None:
        """What is there is there from now on. Who waits is woken by `ring`."""
        with self._bell:
            self._ends.update(ends)

    def ring(self) -> None:
        with self._bell:
            self._bell.notify_all()

    def close(self) -> None:
        """Wake everyone who waits; they find nothing more."""
        with self._bell:
            self._closed = True
            self._bell.notify_all()

    def wait_beyond(self, positions: Mapping[str, int], timeout_s: float) -> bool:
        """Whether some topic goes beyond its position, waiting up to `timeout_s` for it."""
        with self._bell:
            self._bell.wait_for(lambda: self._closed or self._any_beyond(positions), timeout_s)
            return self._any_beyond(positions)

    def _any_beyond(self, positions: Mapping[str, int]) -> bool:
        return any(self._ends.get(topic, 0) > position for topic, position in positions.items())
