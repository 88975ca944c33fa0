"""
One HTTP attempt, within a bounded time.

The client waits for every read at most as long as it is told, but a server that drips one byte at a time would hold it
forever; so the whole attempt has a deadline too.
"""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Final

import anyio.lowlevel
import httpx

from forewarn_alerts.notify.interface import Retry
from forewarn_alerts.notify.replies import Reply, retry_after_s

READ_TIMEOUT_S: Final = 5.0
ATTEMPT_TIMEOUT_S: Final = 10.0
_LONGEST_ANSWER: Final = 16 << 10


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Seconds."""

    read_s: float = READ_TIMEOUT_S
    attempt_s: float = ATTEMPT_TIMEOUT_S


@cache
def _tls() -> ssl.SSLContext:
    """Reading the certificates takes longer than a page: once for all targets."""
    return httpx.create_ssl_context()


class Poster:
    """
    Posts to one target, from one thread at a time.

    It keeps its connection, and follows no redirect: a secret must not travel on.
    It has a loop of its own because only there the whole attempt, headers included, can be given a deadline.
    """

    def __init__(self, *, timeouts: Timeouts | None = None, clock: Callable[[], float] = time.time) -> None:
        self._timeouts = timeouts or Timeouts()
        self._clock = clock
        self._runner = asyncio.Runner()
        self._client = httpx.AsyncClient(timeout=self._timeouts.read_s, follow_redirects=False, verify=_tls())

    def post(self, url: str, body: bytes, headers: Mapping[str, str]) -> Reply | Retry:
        """The reply, or why there is none."""
        return self._runner.run(self._post(url, body, headers))

    def prepare(self) -> None:
        """Start the loop and load what the client loads late; it takes longer than a page should."""
        self._runner.run(anyio.lowlevel.checkpoint())

    def close(self) -> None:
        self._runner.run(self._client.aclose())
        self._runner.close()

    async def _post(self, url: str, body: bytes, headers: Mapping[str, str]) -> Reply | Retry:
        try:
            async with asyncio.timeout(self._timeouts.attempt_s):
                async with self._client.stream("POST", url, content=body, headers=dict(headers)) as response:
                    text = await _beginning(response)
        except TimeoutError:
            return Retry(f"did not answer within {self._timeouts.attempt_s:g} s")
        except (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError) as error:
            # The class only: the text of some of these errors holds the URL, and a Slack webhook's URL is its secret.
            return Retry(f"cannot be reached: {type(error).__name__}")
        return Reply(response.status_code, text, retry_after_s(response.headers.get("retry-after"), self._clock()))


async def _beginning(response: httpx.Response) -> str:
    """As much of the answer as anyone will read."""
    received = b""
    async for part in response.aiter_bytes():
        received += part
        if len(received) >= _LONGEST_ANSWER:
            break
    return received[:_LONGEST_ANSWER].decode("utf-8", "replace")
