"""
Cancelled in the very moment of the answer: a task that is cancelled does not go on because it was also answered.
"""

from __future__ import annotations

import asyncio
from concurrent.futures import Future

import pytest

from forewarn.recording.acknowledged import wait_async
from forewarn.recording.interface import Acknowledgement
from forewarn.recording.memory import ScriptedAcknowledger


async def test_a_cancellation_that_comes_with_the_answer_is_a_cancellation() -> None:
    """
    A task that is cancelled between the answer and its next step does not run its tool.
    """
    pending: Future[Acknowledgement] = Future()
    acknowledger = ScriptedAcknowledger(lambda _: Acknowledgement("allow"))
    acknowledger.submit = lambda _request: pending  # type: ignore[method-assign]
    task = asyncio.create_task(wait_async(acknowledger, b""))
    await asyncio.sleep(0)

    pending.set_result(Acknowledgement("allow"))
    task.cancel()

    with pytest.raises(asyncio.CancelledError):
        await task
