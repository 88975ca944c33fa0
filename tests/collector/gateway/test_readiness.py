"""`/readyz` says no while what is sent does not get in, and asks for another try in the end."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

import httpx
import pytest

from forewarn_collector.gateway.app import Gateway
from forewarn_collector.gateway.health import APPEND_FAILED_WITHIN_S, Appends
from forewarn_collector.gateway.keys import KeyRing
from forewarn_collector.log.interface import Appended, LogError, LogFull, LogUnavailable
from forewarn_collector.log.memory import MemoryLog

PROTOBUF = {"content-type": "application/x-protobuf"}

Direct = Callable[[Any], httpx.AsyncClient]


class SometimesFull(MemoryLog):
    """Answers every question, and takes appends only while `failure` is None."""

    failure: LogError | None = None

    def append(self, *args: Any, **kwargs: Any) -> Future[Appended]:
        if self.failure is None:
            return super().append(*args, **kwargs)
        refused: Future[Appended] = Future()
        refused.set_exception(self.failure)
        return refused


@pytest.mark.parametrize("failure", [LogUnavailable("disk is full. Free some."), LogFull("at its bound")])
async def test_a_log_that_takes_nothing_is_not_ready(keys: KeyRing, direct: Direct, failure: LogError) -> None:
    """With the reason of the latest append, until one gets in."""
    log = SometimesFull()
    async with direct(Gateway(log, keys)) as client:
        before = await client.get("/readyz")
        log.failure = failure
        await client.post("/v1/traces", content=b"", headers=PROTOBUF)
        during = await client.get("/readyz")
        log.failure = None
        await client.post("/v1/traces", content=b"", headers=PROTOBUF)
        after = await client.get("/readyz")

    assert [answer.status_code for answer in (before, during, after)] == [200, 503, 200]
    assert during.json()["checks"] == {"log": str(failure), "doors": "ok"}


def test_an_old_failure_is_forgotten() -> None:
    """Where nobody sends because it is not ready, nobody would find out that it is."""
    now = 0.0
    appends = Appends(lambda: now)
    appends.failed("disk is full")

    found = [appends.trouble()]
    now = APPEND_FAILED_WITHIN_S
    found.append(appends.trouble())

    assert found == ["disk is full", None]
