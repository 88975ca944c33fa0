"""The paths that machines look at: is the process up, can it take requests, what has it counted."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from typing import Final

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4

from forewarn.conventions import Topic
from forewarn_collector.gateway.asgi import Answer
from forewarn_collector.log.interface import Log, LogError

Probe = Callable[[], str | None]
"""Looks at one thing, in a thread: None when it is fine, else what is wrong."""

PROBE_TIMEOUT_S: Final = 2.0
APPEND_FAILED_WITHIN_S: Final = 15.0
OK: Final = "ok"


class Health:
    """Answers `/readyz`: 200 when every probe is content, else 503; the body names each."""

    def __init__(self, probes: Mapping[str, Probe]) -> None:
        self._probes = probes

    async def readiness(self) -> Answer:
        found = dict(zip(self._probes, await asyncio.gather(*map(_asked, self._probes.values())), strict=True))
        ready = all(text == OK for text in found.values())
        return Answer.json(200 if ready else 503, {"ready": ready, "checks": found})


def healthy() -> Answer:
    return Answer.json(200, {"up": True})


def metrics_page(registry: CollectorRegistry) -> Answer:
    return Answer(200, generate_latest(registry), CONTENT_TYPE_PLAIN_0_0_4)


class Appends:
    """How the latest append of a request ended: a log that can be read may yet have no room on its disk."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._failed: tuple[float, str] | None = None

    def succeeded(self) -> None:
        self._failed = None

    def failed(self, why: str) -> None:
        self._failed = (self._clock(), why)

    def trouble(self) -> str | None:
        """
        Why nothing gets in; None where the latest append got in, or failed so long ago that it should be tried again:
        whoever is not asked because it is not ready would never know that it is.
        """
        failed = self._failed
        return failed[1] if failed and self._clock() - failed[0] < APPEND_FAILED_WITHIN_S else None


def log_probe(log: Log, appends: Appends) -> Probe:
    """Whether the log answers, and takes what is sent."""

    def probe() -> str | None:
        try:
            log.end_offsets([Topic.STARTS, Topic.SPANS])
        except LogError as error:
            return str(error)
        return appends.trouble()

    return probe


async def _asked(probe: Probe) -> str:
    try:
        return await asyncio.wait_for(asyncio.to_thread(probe), PROBE_TIMEOUT_S) or OK
    except TimeoutError:
        return f"no answer within {PROBE_TIMEOUT_S:g} s"
