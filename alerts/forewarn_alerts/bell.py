"""
A bell: whoever makes work rings it, whoever does the work waits for it.
"""

from __future__ import annotations

import threading


class Bell:
    """Counts its rings, so that one rung while nobody listened is still heard, by every listener."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._rings = 0

    @property
    def rings(self) -> int:
        return self._rings

    def ring(self) -> None:
        with self._changed:
            self._rings += 1
            self._changed.notify_all()

    def wait(self, heard: int, timeout_s: float) -> None:
        """Return once it was rung more than `heard` times, or after the timeout."""
        with self._changed:
            self._changed.wait_for(lambda: self._rings > heard, timeout_s)
