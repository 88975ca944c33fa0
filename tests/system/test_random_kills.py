"""
What is on record after agents and server were killed at random moments, again and again.
"""

from __future__ import annotations

import json
import random
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

ROUNDS = 6
THOROUGH_ROUNDS = 200
LONGEST_S = 1.0
"""How far into a round the kill comes at the latest; a start of the server takes about as long."""


class Noted(NamedTuple):
    """What the agents wrote down themselves: (agent, number) -> tool."""

    inside: dict[tuple[str, int], str]
    ended: dict[tuple[str, int], str]


def test_whatever_ran_is_on_record_once(  # noqa: PLR0917 -- fixtures
    serve: Any, pagers: Any, eventually: Callable[..., Any], thorough: bool, tmp_path: Path
) -> None:
    """
    `kill -9` at random moments of agent, running server and starting server: every call whose tool ran is stored once,
    every destructive one paged once, and no number of a sender is missing without a reason.
    """
    chance = random.Random(20_261_122)
    key = serve.key("production")
    notes = tmp_path / "notes"

    killed: Counter[str] = Counter()
    for number in range(THOROUGH_ROUNDS if thorough else ROUNDS):
        agent = serve.agent("relentless", f"agent-{number}", str(notes), key=key)
        victim = ("agent", "server", "starting server")[number % 3]
        time.sleep(chance.uniform(0.3, 0.3 + LONGEST_S))
        if victim != "agent":
            serve.kill()
        if victim == "starting server":
            serve.launch()
            time.sleep(chance.uniform(0, 2 * LONGEST_S))
            serve.kill()
        if victim != "agent":
            serve.start()
        agent.kill()
        agent.communicate()
        killed[victim] += 1
    drains = serve.agent("drains", key=key)
    _, errors = drains.communicate(timeout=120)
    assert drains.returncode == 0, errors

    noted = _read(notes)
    assert len(noted.inside) > 10 * sum(killed.values())
    eventually(lambda: not _unrecorded(serve, noted), within_s=60, but="every call that ran is on record")
    assert serve.sql("SELECT count() - uniqExact(span_id) FROM spans WHERE operation = 'execute_tool'") == [(0,)]
    assert serve.sql("SELECT count() - uniqExact(span_id) FROM calls") == [(0,)]
    deleted = {call for call, tool in noted.inside.items() if tool == "delete"}
    eventually(lambda: _paged(pagers).keys() >= deleted, within_s=60, but="every destructive call that ran is paged")
    assert max(_paged(pagers).values()) == 1


def _read(notes: Path) -> Noted:
    noted = Noted({}, {})
    for line in notes.read_text().splitlines():
        told = json.loads(line)
        kept = noted.inside if told["what"] == "inside" else noted.ended
        kept[told["agent"], told["number"]] = told["tool"]
    return noted


def _unrecorded(serve: Any, noted: Noted) -> set[tuple[str, int]]:
    """Calls whose tool ran, or that came back to their agent, and that are not in the store."""
    stored = serve.sql(
        "SELECT JSONExtractString(arguments, 'agent'), JSONExtractInt(arguments, 'number') FROM spans "
        "WHERE operation = 'execute_tool'"
    )
    return (noted.inside.keys() | noted.ended.keys()) - set(stored)


def _paged(pagers: Any) -> Counter[tuple[str, int]]:
    """Incidents per call, as PagerDuty counts them: requests with one `dedup_key` are one incident."""
    pages = {page["dedup_key"]: page["payload"] for page in pagers.pagerduty}
    told = [page["custom_details"]["arguments"] for page in pages.values() if "destructive" in page["class"]]
    return Counter((each["agent"], each["number"]) for each in told)
