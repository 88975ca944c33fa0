"""
The roles of one process, each a thread. A role that ends by itself has died: loud, seen by /readyz, never lived with.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import Final

log = logging.getLogger(__name__)

JOIN_S: Final = 20.0
"""How long a role may take to finish what it has in hand."""


class Roles:
    """Each started once and stopped by name; `on_death` is called once for each that died."""

    def __init__(self, on_death: Callable[[], None]) -> None:
        self._on_death = on_death
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

    def stop(self, *names: str) -> None:
        """Ask these to finish what they have in hand, all at once, and wait for them."""
        stopping = [role for role in self._running if role[0].name in names]
        for _, stop in stopping:
            stop.set()
        deadline = time.monotonic() + JOIN_S
        for thread, _ in stopping:
            thread.join(max(0.0, deadline - time.monotonic()))
            if thread.is_alive():
                log.error("role %s did not finish within %s s; what it had in hand is repeated", thread.name, JOIN_S)

    def note_death(self, name: str, why: str) -> None:
        """Of a role, or of a thread that a role started."""
        self._died[name] = why
        self._on_death()

    def _watched(self, name: str, run: Callable[[threading.Event], None], stop: threading.Event) -> None:
        try:
            run(stop)
        except (
            Exception,
            SystemExit,
        ) as fault:  # the outermost boundary of a role: its death must be seen, whatever it is
            log.critical("role %s died", name, exc_info=True)
            self.note_death(name, f"{type(fault).__name__}: {fault}")
        else:
            if not stop.is_set():
                log.critical("role %s died: it returned although nobody stopped it", name)
                self.note_death(name, "it returned although nobody stopped it")
