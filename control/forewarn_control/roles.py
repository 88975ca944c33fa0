"""
The roles of one process, each a thread. A role that ends by itself is a death: loud, seen by /readyz, never lived with.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Final

log = logging.getLogger(__name__)

JOIN_S: Final = 20.0
"""How long a role may take to finish what it has in hand."""


class Roles:
    """Started in order, stopped in reverse order; `changed` is set when one has died."""

    def __init__(self) -> None:
        self.changed = threading.Event()
        self._running: list[tuple[threading.Thread, threading.Event]] = []
        self._died: dict[str, str] = {}

    def start(self, name: str, run: Callable[[threading.Event], None]) -> None:
        """Run it in a thread; it is to return soon after the event is set, and not before."""
        stop = threading.Event()
        thread = threading.Thread(target=self._watched, args=(name, run, stop), name=name)
        self._running.append((thread, stop))
        thread.start()

    def died(self) -> dict[str, str]:
        """Role -> why, of those that ended by themselves."""
        return dict(self._died)

    def stop(self) -> None:
        """Ask each to finish what it has in hand, and wait for it; the last started goes first."""
        while self._running:
            thread, stop = self._running.pop()
            stop.set()
            thread.join(JOIN_S)
            if thread.is_alive():
                log.error("role %s did not finish within %s s; what it had in hand is repeated", thread.name, JOIN_S)

    def _watched(self, name: str, run: Callable[[threading.Event], None], stop: threading.Event) -> None:
        why = "it returned although nobody stopped it"
        try:
            run(stop)
        except (
            Exception,
            SystemExit,
        ) as fault:  # the outermost boundary of a role: its death must be seen, whatever the cause
            why = f"{type(fault).__name__}: {fault}"
            log.critical("role %s died: %s", name, why, exc_info=True)
        else:
            if stop.is_set():
                return
            log.critical("role %s died: %s", name, why)
        self._died[name] = why
        self.changed.set()
