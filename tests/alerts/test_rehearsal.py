"""
The alarm is tried out at the start: all of it, and nobody notices.
"""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import func, select

from forewarn_alerts.incidents import Incidents
from forewarn_alerts.notify.interface import Delivered
from forewarn_alerts.rehearsal import rehearse
from forewarn_alerts.rules import load_rules
from forewarn_alerts.tables import ENDED_CALLS, HITS, INCIDENTS, JOURNAL, OPEN_CALLS, OUTBOX


def test_a_rehearsal_makes_every_page_ready_and_leaves_nothing(kit: Any) -> None:
    """
    Each rule's example is taken down to each target's message; afterwards the state is as it was, and nothing was sent.
    """
    engine, target = kit.engine(), kit.Target("pager", answers=[Delivered("not asked for")])
    incidents = Incidents(engine, {"oncall": ["pager"]}, clock_ns=kit.clock)

    ready = rehearse(load_rules(), incidents, [target])

    assert ready == 3  # the fourth rule waits for an end that does not come
    assert target.prepared
    assert target.answers == [Delivered("not asked for")]
    with engine.connect() as connection:
        tables = (INCIDENTS, HITS, OUTBOX, JOURNAL, OPEN_CALLS, ENDED_CALLS)
        assert [connection.execute(select(func.count()).select_from(table)).scalar() for table in tables] == [0] * 6


def test_a_road_that_is_broken_is_found_at_the_start(kit: Any) -> None:
    """
    A target that cannot make a message of a page says so before the first real one.
    """

    class Broken(kit.Target):  # type: ignore[misc,name-defined]
        def render(self, page: Any, delivery: str) -> Any:
            raise ValueError("no such field")

    incidents = Incidents(kit.engine(), {"oncall": ["pager"]}, clock_ns=kit.clock)

    with pytest.raises(ValueError, match="no such field"):
        rehearse(load_rules(), incidents, [Broken("pager")])
