"""The orderly end: no request is begun any more, and whoever stops the process knows when the last is answered."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from forewarn_collector.gateway.errors import NotNow


class Draining:
    """The requests in hand. Safe to use from many threads."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._in_hand = 0
        self._begun = False

    @contextmanager
    def request(self) -> Iterator[None]:
        """Around one request; raises `NotNow` once the end has begun."""
        with self._changed:
            if self._begun:
                raise NotNow("This server is about to stop.", do="Send the same again.")
            self._in_hand += 1
        try:
            yield
        finally:
            with self._changed:
                self._in_hand -= 1
                self._changed.notify_all()

    def begin(self) -> None:
        """Refuse what comes from now on; `/readyz` says so."""
        with self._changed:
            self._begun = True

    def finished(self, within_s: float) -> bool:
        """Wait for the answers of what is in hand."""
        with self._changed:
            return self._changed.wait_for(lambda: self._in_hand == 0, within_s)

    def trouble(self) -> str | None:
        """As a probe of `/readyz`."""
        return "stopping" if self._begun else None
