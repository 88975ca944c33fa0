"""
The acknowledged road: one round trip that must come back before a call may start, within a bound.

An answer clears a call only if it is 200, is JSON, names the SHA-256 of exactly the bytes that were sent, and carries a
decision. A 200 from a proxy clears nothing. The bound holds against a server that answers one byte at a time, because
the exchange runs on a thread of its own and the caller waits for the result with a deadline, not for the socket.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import time
from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout
from http.client import HTTPException
from typing import Any, Final

from forewarn.conventions import INTENTS_PATH
from forewarn.recording.connections import Connections
from forewarn.recording.gateway import cause_of, request_headers, retry_after_s, untraced
from forewarn.recording.interface import Acknowledgement, Acknowledger, Unacknowledged
from forewarn.recording.workers import Workers

_RETRIED: Final = frozenset({408, 429, 502, 503, 504})
_FIRST_PAUSE_S: Final = 0.05
_LONGEST_PAUSE_S: Final = 1.0
_CHECK_GATEWAY: Final = "the Forewarn gateway must be running and reachable; `forewarn doctor` tells what is wrong."


def wait(acknowledger: Acknowledger, request: bytes) -> Acknowledgement | Unacknowledged:
    """Block until the record is acknowledged, or known not to be, or the acknowledger's patience is over."""
    try:
        pending = acknowledger.submit(request)
        try:
            return pending.result(acknowledger.patience_s)
        except FutureTimeout:
            pending.cancel()
            return _too_late(acknowledger.patience_s)
    except Unacknowledged as refusal:
        return refusal
    # Whatever went wrong, nobody vouches for the record.
    except Exception as error:  # noqa: BLE001
        return _failed(error)


async def wait_async(acknowledger: Acknowledger, request: bytes) -> Acknowledgement | Unacknowledged:
    """The same without blocking the event loop."""
    try:
        # Not `wait_for`: on Python 3.11 it drops a cancellation that comes together with the answer.
        async with asyncio.timeout(acknowledger.patience_s):
            return await asyncio.wrap_future(acknowledger.submit(request))
    except Unacknowledged as refusal:
        return refusal
    except TimeoutError:
        return _too_late(acknowledger.patience_s)
    # As above.
    except Exception as error:  # noqa: BLE001
        return _failed(error)


class GatewayAcknowledger:
    """Asks a Forewarn gateway, on connections that are kept; connection trouble is retried within the patience."""

    def __init__(
        self, endpoint: str, key: str, *, patience_s: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._url = endpoint + INTENTS_PATH
        self._headers = request_headers(key)
        self._patience_s = patience_s
        self._clock = clock
        self._connections = Connections(endpoint)
        self._workers: Workers[Acknowledgement] = Workers("forewarn-acknowledger")

    @property
    def patience_s(self) -> float:
        return self._patience_s

    def submit(self, request: bytes) -> Future[Acknowledgement]:
        deadline = self._clock() + self._patience_s
        return self._workers.submit(lambda: self._exchange(request, deadline))

    def close(self) -> None:
        self._workers.close()
        self._connections.close()

    def _exchange(self, request: bytes, deadline: float) -> Acknowledgement:
        pause_s = _FIRST_PAUSE_S
        while True:
            try:
                return self._attempt(request, deadline)
            except _Retryable as trouble:
                wait_s = max(pause_s, trouble.retry_after_s)
                if self._clock() + wait_s >= deadline:
                    raise Unacknowledged(trouble.reason, _CHECK_GATEWAY) from None
            time.sleep(wait_s)
            pause_s = min(pause_s * 2, _LONGEST_PAUSE_S)

    def _attempt(self, request: bytes, deadline: float) -> Acknowledgement:
        left_s = deadline - self._clock()
        if left_s <= 0:
            raise _too_late(self._patience_s)
        try:
            with untraced():
                reply = self._connections.post(INTENTS_PATH, request, self._headers, deadline=deadline)
        except (HTTPException, OSError) as error:
            if self._clock() >= deadline:
                raise _too_late(self._patience_s) from error
            raise _Retryable(f"{self._url}: {cause_of(error)}") from error
        if reply.status in _RETRIED:
            after_s = retry_after_s({"retry-after": reply.retry_after}) or 0.0
            raise _Retryable(f"{self._url} answered {reply.status}", after_s)
        return read_answer(reply.status, reply.body, request, url=self._url)


class Unconfigured:
    """Stands where an acknowledger would be when there is no endpoint or no key: nothing is ever acknowledged."""

    patience_s = 1.0

    def __init__(self, reason: str, remedy: str) -> None:
        self._refusal = (reason, remedy)

    def submit(self, request: bytes) -> Future[Acknowledgement]:  # noqa: ARG002  the seam's own
        answer: Future[Acknowledgement] = Future()
        answer.set_exception(Unacknowledged(*self._refusal))
        return answer

    def close(self) -> None:
        """Nothing is open."""


def read_answer(status: int, body: bytes, request: bytes, *, url: str) -> Acknowledgement:
    """What an answer says of the request; raises Unacknowledged for all that does not vouch for exactly these bytes."""
    if status in {401, 403}:
        raise Unacknowledged(
            f"{url} answered {status}", "FOREWARN_KEY is not valid there; `forewarn keys create` makes one."
        )
    if status != 200:
        raise Unacknowledged(f"{url} answered {status}", _CHECK_GATEWAY)
    try:
        said: Any = json.loads(body)
    except (ValueError, RecursionError):
        said = None
    if not isinstance(said, dict) or said.get("digest") != hashlib.sha256(request).hexdigest():
        raise Unacknowledged(
            f"{url} answered 200, but did not name the record it was sent",
            "something else than a Forewarn gateway is answering, a proxy perhaps; check FOREWARN_ENDPOINT.",
        )
    decision, rule, reason = said.get("decision"), said.get("rule"), said.get("reason")
    return Acknowledgement(
        decision=decision if isinstance(decision, str) else repr(decision),
        rule=rule if isinstance(rule, str) else None,
        reason=reason if isinstance(reason, str) else "",
    )


class _Retryable(Exception):
    """Trouble that may pass within the patience."""

    def __init__(self, reason: str, retry_after: float = 0.0) -> None:
        super().__init__(reason)
        self.reason = reason
        self.retry_after_s = retry_after


def _failed(error: Exception) -> Unacknowledged:
    """By type alone: the text may hold what was sent, the key in its header too, and a model will read this."""
    return Unacknowledged(f"asking the gateway failed with {type(error).__name__}", _CHECK_GATEWAY)


def _too_late(patience_s: float) -> Unacknowledged:
    return Unacknowledged(f"no acknowledgement within {patience_s:g} s", _CHECK_GATEWAY)
