"""The paths that machines look at: is the process up, can it take requests, what has it counted."""

from __future__ import annotations

import asyncio
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


def log_probe(log: Log) -> Probe:
    """Whether the log answers."""

    def probe() -> str | None:
        try:
            log.end_offsets([Topic.STARTS, Topic.SPANS])
        except LogError as error:
            return str(error)
        return None

    return probe


async def _asked(probe: Probe) -> str:
    try:
        return await asyncio.wait_for(asyncio.to_thread(probe), PROBE_TIMEOUT_S) or OK
    except TimeoutError:
        return f"no answer within {PROBE_TIMEOUT_S:g} s"
