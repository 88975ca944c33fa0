"""
What agents and on-call see of a server that is killed under load, or gone.
"""

from __future__ import annotations

import collections
import json
import threading
from typing import Any

CALLS = 1_000


def _lines(agent: Any, into: list[dict[str, Any]]) -> threading.Thread:
    def read() -> None:
        into.extend(json.loads(line) for line in agent.stdout)

    reader = threading.Thread(target=read)
    reader.start()
    return reader


def test_nothing_acknowledged_is_lost_or_doubled(serve: Any, pagers: Any, eventually: Any) -> None:
    """
    `kill -9` of the server under load of 2,000 calls: each record is stored once, each page is sent once.
    """
    key = serve.key("production")
    said: dict[str, list[dict[str, Any]]] = {"one": [], "two": []}
    agents = {name: serve.agent("busy", name, str(CALLS), key=key) for name in said}
    readers = [_lines(agent, said[name]) for name, agent in agents.items()]

    for done in (0.2, 0.6):
        eventually(lambda done=done: sum(map(len, said.values())) > 2 * CALLS * done, within_s=90)
        serve.kill()
        serve.start()
    for reader in readers:
        reader.join(timeout=180)
    for agent in agents.values():
        assert agent.wait(timeout=90) == 0, agent.stderr.read()
        agent.communicate()

    ran = [call for calls in said.values() for call in calls if call["ended"] == "ran"]
    assert sum(map(len, said.values())) == 2 * CALLS
    tools = "operation = 'execute_tool'"
    eventually(lambda: serve.sql(f"SELECT count() FROM spans WHERE {tools} AND record = 'end'") == [(2 * CALLS,)])
    assert serve.sql(f"SELECT count(), uniqExact(span_id) FROM spans WHERE {tools}") == [(2 * CALLS, 2 * CALLS)]
    assert serve.sql("SELECT count(), uniqExact(span_id) FROM calls") == [(2 * CALLS, 2 * CALLS)]
    assert serve.sql("SELECT count() FROM otel_traces WHERE SpanName LIKE 'execute_tool %'") == [(2 * CALLS,)]
    assert serve.sql(f"SELECT count() FROM spans WHERE {tools} AND outcome = 'ok'") == [(len(ran),)]
    eventually(lambda: _paged_calls(pagers).keys() >= {(c["agent"], c["number"]) for c in ran if c["tool"] == "delete"})
    assert max(_paged_calls(pagers).values()) == 1


def _paged_calls(pagers: Any) -> collections.Counter[tuple[str, int]]:
    """Incidents per call, as PagerDuty counts them: requests with one `dedup_key` are one incident."""
    pages = {page["dedup_key"]: page["payload"] for page in pagers.pagerduty}
    return collections.Counter(
        (page["custom_details"]["arguments"]["agent"], page["custom_details"]["arguments"]["number"])
        for page in pages.values()
        if page["class"] == "destructive-in-production"
    )


def test_without_a_gateway_reads_go_on_and_destruction_does_not(serve: Any, eventually: Any) -> None:
    """
    With the gateway gone, reads run and arrive later, once; a destructive call in production is refused in time.
    """
    key = serve.key("production")
    serve.stop()

    agent = serve.agent("offline", key=key)
    output, errors = agent.communicate(timeout=60)

    told = json.loads(output or "null")
    assert told is not None, errors
    assert told["looked"] == list(range(20))
    assert "NOT run" in told["said"]
    assert 0.5 < told["seconds"] < 10
    serve.start()
    drains = serve.agent("drains", key=key)
    drains.communicate(timeout=60)
    eventually(
        lambda: serve.sql("SELECT countIf(outcome = 'ok'), countIf(outcome = 'refused') FROM calls") == [(20, 1)]
    )
    assert serve.sql("SELECT count(), uniqExact(span_id) FROM spans WHERE operation = 'execute_tool'") == [(21, 21)]


def test_in_development_a_destructive_call_runs_and_says_so(serve: Any) -> None:
    """
    Outside production an unreachable gateway does not stop the work; the agent's log says that nobody vouched for it.
    """
    key = serve.key("development")
    serve.stop()

    agent = serve.agent("offline", key=key)
    output, errors = agent.communicate(timeout=60)

    assert json.loads(output)["said"] == "ran 1"
    assert "delete" in errors
    assert "not recorded" in errors.lower() or "not acknowledged" in errors.lower()
