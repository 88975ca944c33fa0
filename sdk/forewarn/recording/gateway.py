"""
The gateway as the SDK sees it: one POST, and what its answer means.

The meaning of a status is decided here, once. Only an answer in OTLP's own content type counts as taken: a proxy or a
captive portal that says 200 to everything takes nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from enum import Enum
from typing import TYPE_CHECKING, Final, Protocol

import urllib3
from opentelemetry import context
from opentelemetry.context import _SUPPRESS_INSTRUMENTATION_KEY
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

from forewarn.conventions import LANE_HEADER, LANE_STARTS, TRACES_PATH

if TYPE_CHECKING:
    from collections.abc import Iterator

_PROTOBUF: Final = "application/x-protobuf"
_LONGEST_WAIT_S: Final = 60.0


class Verdict(Enum):
    """What became of a request."""

    TAKEN = "it is durable there"
    POISON = "it will never be taken as it is"
    LATER = "repeat it"
    UNWELCOME = "repeat it when a person has mended the key or the address"


@dataclass(frozen=True, slots=True)
class Answer:
    """A verdict, what was said, and how long the other side wants to be left alone."""

    verdict: Verdict
    said: str = ""
    retry_after_s: float | None = None


class Transport(Protocol):
    """How the sender reaches a gateway."""

    def send(self, request: bytes, *, are_starts: bool) -> Answer:
        """Send one ExportTraceServiceRequest; never raises for anything the network or the other side does."""
        ...

    def close(self) -> None: ...


class GatewayTransport:
    """OTLP over HTTP, on connections that are kept."""

    def __init__(self, endpoint: str, key: str, *, timeout_s: float = 10.0) -> None:
        self._url = endpoint + TRACES_PATH
        self._headers = request_headers(key)
        self._pool = urllib3.PoolManager(maxsize=2, retries=False, timeout=urllib3.Timeout(timeout_s))

    def send(self, request: bytes, *, are_starts: bool) -> Answer:
        headers = {**self._headers, LANE_HEADER: LANE_STARTS} if are_starts else self._headers
        try:
            with untraced():
                response = self._pool.request("POST", self._url, body=request, headers=headers, redirect=False)
        except (urllib3.exceptions.HTTPError, OSError) as error:
            return Answer(Verdict.LATER, f"{self._url}: {cause_of(error)}")
        return _judge(self._url, response.status, response.headers, response.data)

    def close(self) -> None:
        self._pool.clear()


def request_headers(key: str) -> dict[str, str]:
    return {"content-type": _PROTOBUF, "authorization": f"Bearer {key}", "user-agent": "forewarn-sdk"}


def cause_of(error: Exception) -> str:
    """What went wrong, without urllib3's wrapping and without the address, which is told beside it."""
    inner = getattr(error, "reason", None) or error.__cause__ or error
    return f"{type(inner).__name__}: {getattr(inner, 'strerror', None) or inner}"[:300]


def retry_after_s(headers: Mapping[str, str]) -> float | None:
    """Retry-After in seconds, from either of its two forms; None if there is none that makes sense."""
    text = headers.get("retry-after", "").strip()
    if text.isdecimal():
        return min(float(text), _LONGEST_WAIT_S)
    try:
        wait = (parsedate_to_datetime(text) - datetime.now(UTC)).total_seconds()
    except (ValueError, TypeError):
        return None
    return min(max(wait, 0.0), _LONGEST_WAIT_S)


@contextmanager
def untraced() -> Iterator[None]:
    """An application that instruments its HTTP client must not record the sending of its records."""
    token = context.attach(context.set_value(_SUPPRESS_INSTRUMENTATION_KEY, True))
    try:
        yield
    finally:
        context.detach(token)


def _judge(url: str, status: int, headers: Mapping[str, str], body: bytes) -> Answer:
    said = f"{url} answered {status}"
    if status == 200:
        if not headers.get("content-type", "").startswith((_PROTOBUF, "application/json")):
            return Answer(
                Verdict.UNWELCOME, f"{said}, but not as a Forewarn gateway does: is something else listening?"
            )
        return Answer(Verdict.TAKEN, _partial_success(body) if headers["content-type"].startswith(_PROTOBUF) else "")
    if status in {400, 413}:
        return Answer(Verdict.POISON, f"{said}: {_text(body)}")
    if status in {401, 403}:
        return Answer(Verdict.UNWELCOME, f"{said}: the key is not valid here; check FOREWARN_KEY")
    if status in {408, 429} or status >= 500:
        return Answer(Verdict.LATER, said, retry_after_s(headers))
    return Answer(Verdict.UNWELCOME, f"{said}: check FOREWARN_ENDPOINT")


def _partial_success(body: bytes) -> str:
    """What the gateway said of spans that it did not take although it took the request; '' for nothing."""
    if not body:
        return ""
    answer = ExportTraceServiceResponse.FromString(body)
    rejected = answer.partial_success.rejected_spans
    return f"{rejected} spans were rejected: {answer.partial_success.error_message}" if rejected else ""


def _text(body: bytes) -> str:
    return "".join(character for character in body[:200].decode(errors="replace") if character.isprintable())
