"""
The sender: one background thread that drains the spool, and how it paces itself.

It sleeps until there is something, lingers a little for company, sends, and backs off while the gateway is away, for as
long as that takes. `flush` makes it hurry and tells whether what was there has arrived.
"""

from __future__ import annotations

import logging
import random
import threading
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import Final

from forewarn.outcomes import type_of_error
from forewarn.recording.drain import Drain, NotNow
from forewarn.recording.gateway import Answer, Verdict

LINGER_S: Final = 0.05
"""How long it waits for company after the first new record."""
RESCAN_S: Final = 10.0
"""How often it looks for segments whose owner has died meanwhile."""
_FIRST_BACKOFF_S: Final = 0.2
_LONGEST_BACKOFF_S: Final = 5.0
_SHORTEST_WAIT_S: Final = 0.01
_UNWELCOME_S: Final = 30.0
"""A key or an address that is wrong takes a person to mend."""

_log = logging.getLogger("forewarn")


class Sender:
    """Runs a drain. Any thread may call any method."""

    def __init__(self, drain: Drain, *, linger_s: float = LINGER_S) -> None:
        self._drain = drain
        drain.on_turn = self._feel_pulse
        self._linger_s = linger_s
        self._bell: SimpleQueue[None] = SimpleQueue()
        self._is_rung = False
        self._hurry = threading.Event()
        self._rounds = threading.Condition()
        self._begun = 0
        self._clean = 0
        self._thread: threading.Thread | None = None
        self._is_stopped = False
        self._failures = 0
        self._complained_of: Verdict | str | None = None
        self._adopt_at = 0.0
        self.pulse: Callable[[], float] | None = None
        """Called from the sender's thread; answers how long until it is to be called again."""
        self._wake_within_s = RESCAN_S

    def notify(self) -> None:
        """There is something new. Costs next to nothing while the thread knows that already."""
        if not self._is_rung:
            # Not an Event: this is called from finalizers and signal handlers too, and Event.set can deadlock in them.
            self._is_rung = True
            self._bell.put(None)
            if self._thread is None:
                self.start()

    def start(self) -> None:
        with self._rounds:
            if self._thread is None and not self._is_stopped:
                # Before it starts: a signal handler that records in the middle of this must not start another.
                self._thread = threading.Thread(target=self._run, name="forewarn-sender", daemon=True)
                try:
                    self._thread.start()
                # An interpreter that is ending starts none; then the records are for the next process. A machine that
                # has no thread left may have one for the next record.
                except RuntimeError:
                    self._thread = None
                    self._is_rung = False
                else:
                    self._bell.put(None)

    def flush(self, timeout_s: float) -> bool:
        """Send now; True once all that was spooled before this call has arrived, False if it has not in time."""
        self.start()
        with self._rounds:
            goal = self._begun + 1
            self._hurry.set()
            self._bell.put(None)
            if self._thread is not None:
                self._rounds.wait_for(lambda: self._clean >= goal or self._is_stopped, timeout_s)
            return self._clean >= goal

    def stop(self, timeout_s: float) -> None:
        """Finish the request under way if that is soon, then let go of every file."""
        with self._rounds:
            self._is_stopped = True
            self._hurry.set()
            self._bell.put(None)
            self._rounds.notify_all()
        if self._thread is not None:
            self._thread.join(timeout_s)

    def _run(self) -> None:
        while not self._is_stopped:
            self._sleep()
            self._is_rung = False
            self._hurry.wait(self._linger_s)
            self._hurry.clear()
            delay_s = self._attempt()
            if delay_s and not self._is_stopped:
                self._wait(delay_s)
                self._bell.put(None)
        self._drain.close()

    def _sleep(self) -> None:
        with suppress(Empty):
            self._bell.get(timeout=self._wake_within_s)

    def _wait(self, delay_s: float) -> None:
        """Leave the gateway alone, unless somebody is in a hurry; signs of life are spooled nevertheless."""
        until = time.monotonic() + delay_s
        while (left_s := until - time.monotonic()) > 0:
            self._feel_pulse()
            if self._hurry.wait(min(left_s, self._wake_within_s)):
                return

    def _attempt(self) -> float:
        """One round; how long to leave the gateway alone after it."""
        with self._rounds:
            self._begun += 1
            this = self._begun
        try:
            self._feel_pulse()
            self._drain.round()
            self._look_around()
        except NotNow as refusal:
            self._give_back()
            return self._wait_after(refusal.answer)
        # The outermost boundary of this thread: whatever happens, it lives, and the records stay where they are.
        except Exception as error:  # noqa: BLE001
            self._give_back()
            return self._wait_after_failure(error)
        if self._complained_of is not None:
            _log.warning("Forewarn reaches its gateway again; waiting records have been sent.")
        self._failures, self._complained_of = 0, None
        with self._rounds:
            self._clean = this
            self._rounds.notify_all()
        return 0.0

    def _look_around(self) -> None:
        if time.monotonic() >= self._adopt_at:
            while self._drain.adopt():
                self._drain.round()
            self._adopt_at = time.monotonic() + RESCAN_S

    def _give_back(self) -> None:
        """While nothing can be sent, what others left must not be kept from whoever can send it, or needs the room."""
        self._drain.let_go()
        self._adopt_at = 0.0

    def _feel_pulse(self) -> None:
        if self.pulse is not None:
            self._wake_within_s = max(min(RESCAN_S, self.pulse()), _SHORTEST_WAIT_S)

    def _wait_after_failure(self, error: Exception) -> float:
        """Told once, by type and place: the error's own text may hold what was sent, the key in its header too."""
        kind = type_of_error(error)
        if kind != self._complained_of:
            *_, place = traceback.extract_tb(error.__traceback__)
            _log.error(
                "Forewarn could not send its records: %s at line %s of %s. They stay in the spool and are tried again.",
                kind,
                place.lineno,
                place.filename,
            )
            self._complained_of = kind
        return self._wait_after(Answer(Verdict.LATER))

    def _wait_after(self, answer: Answer) -> float:
        if answer.said and answer.verdict is not self._complained_of:
            _log.warning(
                "Forewarn cannot send its records: %s. They wait in the spool and are tried again.", answer.said
            )
            self._complained_of = answer.verdict
        if answer.verdict is Verdict.UNWELCOME:
            return _UNWELCOME_S
        self._failures += 1
        backoff = min(_FIRST_BACKOFF_S * 2.0 ** min(self._failures - 1, 16), _LONGEST_BACKOFF_S)
        # Spreads the retries of many processes; guards nothing.
        return max(answer.retry_after_s or 0.0, backoff * random.uniform(0.8, 1.2))  # noqa: S311
