"""
The way between a sender and the gateway: requests and answers that are lost, late, repeated, or somebody else's.

The SDK's own clients run on it as they are; only their connections, and the threads that wait for answers, are the
simulation's (`Pool` for the sender's, `RoundTrips` for the acknowledger's, `AtOnce` for the threads).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar
from urllib.parse import urlsplit

import urllib3
from tests.simulation.fate import Fate
from tests.simulation.truth import Truth, records_of
from urllib3.exceptions import ProtocolError, ReadTimeoutError

from forewarn import conventions as c
from forewarn.recording import connections

if TYPE_CHECKING:
    from tests.simulation.server import Server

T = TypeVar("T")
NEVER_TAKEN: Final = b"never-taken-by-order"
"""Where a history has such bodies, something before the gateway answers 400 to whatever holds this."""


@dataclass(frozen=True, slots=True)
class Request:
    """What a sender sent."""

    path: str
    headers: Mapping[str, str]
    body: bytes


@dataclass(slots=True)
class Reply:
    """What comes back, as urllib3 hands it out."""

    status: int
    headers: Mapping[str, str]
    data: bytes


@dataclass(slots=True)
class Network:
    """One history's."""

    fate: Fate
    truth: Truth
    server: Server
    late: list[Request] = field(default_factory=list)
    """Requests that will be delivered once more."""

    def exchange(self, request: Request, timeout_s: float) -> Reply:
        """What the sender sees; raises what urllib3 raises."""
        fate = self.fate
        fate.point("before a request")
        if fate.strikes("request is lost"):
            raise self._gone(timeout_s)
        if fate.strikes("portal answers"):
            return Reply(200, {"content-type": "text/html"}, b"<html>Welcome</html>")
        if fate.strikes("balancer answers 503"):
            return Reply(503, {"content-type": "text/plain", "retry-after": "3"}, b"")
        if NEVER_TAKEN in request.body and fate.may("body is never taken"):
            return self._refused(request)
        reply = self.server.take(request, hangs_up=fate.strikes("sender hangs up"))
        if fate.strikes("request comes again later"):
            self.late.append(request)
        if reply is None or fate.strikes("answer is lost"):
            raise self._gone(timeout_s)
        if fate.strikes("answer is slow"):
            delay_s = fate.random.uniform(0.0, 15.0)
            fate.clock.advance(min(delay_s, timeout_s))
            if delay_s > timeout_s:
                raise ReadTimeoutError(None, request.path, "too slow")  # type: ignore[arg-type]
        fate.point("behind an answer")
        if is_taken(request.path, reply):
            self.truth.heard.update(records_of(request.body))
        return reply

    def deliver_late(self) -> None:
        """A repetition that nobody waits for."""
        if self.late:
            request = self.late.pop(self.fate.random.randrange(len(self.late)))
            self.fate.counts["late deliveries"] += 1
            self.server.take(request, hangs_up=False)

    def _gone(self, timeout_s: float) -> Exception:
        self.fate.clock.advance(self.fate.random.choice((0.001, min(timeout_s, 1.0), timeout_s)))
        return ProtocolError("Connection aborted.", ConnectionResetError(104, "Connection reset by peer"))

    def _refused(self, request: Request) -> Reply:
        records = list(records_of(request.body))
        if len(records) == 1:
            self.truth.never_taken.update(records)
        self.fate.counts["body is never taken"] += 1
        return Reply(400, {"content-type": "application/x-protobuf"}, b"")


class Pool:
    """Stands in the place of `urllib3.PoolManager`."""

    network: Network | None = None

    def __init__(self, *_: Any, timeout: urllib3.Timeout | None = None, **__: Any) -> None:
        self._timeout = timeout

    def request(self, _method: str, url: str, *, body: bytes, headers: Mapping[str, str], **more: Any) -> Reply:
        assert self.network is not None
        timeout: urllib3.Timeout | None = more.get("timeout") or self._timeout
        seconds = timeout.total if timeout is not None and timeout.total is not None else 10.0
        return self.network.exchange(Request(urlsplit(url).path, dict(headers), body), float(seconds))

    def clear(self) -> None:
        """Nothing is held."""


class RoundTrips:
    """Stands in the place of the acknowledger's `Connections`."""

    def __init__(self, _endpoint: str) -> None:
        pass

    def post(self, path: str, body: bytes, headers: Mapping[str, str], *, deadline: float) -> connections.Reply:
        assert Pool.network is not None
        left_s = deadline - time.monotonic()
        if left_s <= 0:
            raise TimeoutError
        try:
            reply = Pool.network.exchange(Request(path, dict(headers), body), left_s)
        except ReadTimeoutError as error:
            raise TimeoutError from error
        except ProtocolError as error:
            raise ConnectionResetError(104, "Connection reset by peer") from error
        return connections.Reply(reply.status, reply.headers.get("retry-after", ""), reply.data)

    def close(self) -> None:
        """Nothing is held."""


class AtOnce(Generic[T]):
    """Stands in the place of the SDK's `Workers`: the job that a thread would do is done when it is submitted."""

    def __init__(self, _name: str, **_: Any) -> None:
        pass

    def submit(self, job: Callable[[], T]) -> Future[T]:
        done: Future[T] = Future()
        try:
            done.set_result(job())
        # A thread's future carries whatever ended its job; the death of the process is not the job's.
        except Exception as error:  # noqa: BLE001
            done.set_exception(error)
        return done

    def close(self) -> None:
        """Nobody is waiting."""


def is_taken(path: str, reply: Reply) -> bool:
    """Whether an answer says that the gateway has it."""
    return reply.status == 200 and path in {c.TRACES_PATH, c.INTENTS_PATH}
