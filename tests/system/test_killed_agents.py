"""
What is left on record of an agent that is killed.
"""

from __future__ import annotations

import json
import os
import signal
from typing import Any


def test_a_call_cut_short_is_on_record_shown_as_unknown_and_paged(serve: Any, pagers: Any, eventually: Any) -> None:
    """
    `kill -9` in the middle of a destructive call leaves a start without an end, which everyone is told.
    """
    key = serve.key("production")
    agent = serve.agent("killed_in_a_call", key=key)
    assert agent.stdout.readline() == "running\n", agent.stderr.read()

    os.kill(agent.pid, signal.SIGKILL)
    agent.communicate()

    rows = eventually(lambda: serve.sql("SELECT lower(hex(trace_id)), record FROM spans WHERE tool = 'drop_table'"))
    assert [record for _, record in rows] == ["start"]
    trace_id = rows[0][0]
    assert "outcome unknown" in serve.command("traces", "show", trace_id[:8])
    paged = eventually(lambda: [page for page in pagers.pagerduty if "drop_table" in json.dumps(page)])
    assert len({page["dedup_key"] for page in paged}) == 1
    assert paged[0]["payload"]["severity"] == "critical"


def test_the_rule_outcome_unknown_fires_for_it(serve: Any, pagers: Any, eventually: Any) -> None:
    """
    After its time, the call that never ended pages by the rule `outcome-unknown`, once.
    """
    rules = serve.folder / "rules"
    rules.mkdir()
    (rules / "ended-too-late.yaml").write_text(
        """
title: A destructive call did not end
severity: error
on: missing_end
after: 1s
when: call.effect == "destructive"
group_by: [call.digest]
notify: [oncall]
tests:
  - fires: {tool: drop_table, effect: destructive, environment: production}
  - silent: {tool: list_tables, effect: read, environment: production}
"""
    )
    serve.stop()
    serve.environment["FOREWARN_RULES"] = json.dumps([str(rules)])
    serve.start()
    agent = serve.agent("killed_in_a_call", key=serve.key("production"))
    assert agent.stdout.readline() == "running\n", agent.stderr.read()

    os.kill(agent.pid, signal.SIGKILL)
    agent.communicate()

    eventually(lambda: [page for page in pagers.pagerduty if "ended-too-late" in json.dumps(page)])
    eventually(lambda: serve.sql("SELECT 1 FROM events WHERE rule = 'ended-too-late' AND kind = 'delivery.sent'"))
    assert len([page for page in pagers.pagerduty if "ended-too-late" in json.dumps(page)]) == 1


def test_a_read_that_returned_arrives_with_the_next_process(serve: Any, eventually: Any) -> None:
    """
    `kill -9` right after a `read` call returned loses nothing: 40 of 40 arrive when the next process starts.
    """
    key = serve.key("production")

    for number in range(40):
        agent = serve.agent("killed_after_a_read", f"table_{number}", key=key)
        assert agent.wait() == -signal.SIGKILL, agent.stderr.read()
        agent.communicate()
    drains = serve.agent("drains", key=key)
    _, errors = drains.communicate(timeout=60)

    assert drains.returncode == 0, errors
    calls = "SELECT count(), uniqExact(span_id), uniqExact(arguments), countIf(outcome = 'ok') FROM calls"
    spans = "SELECT count() FROM spans WHERE tool = 'count_rows' AND record = 'end' AND outcome = 'ok'"
    eventually(lambda: serve.sql(spans) == [(40,)], but="40 of 40")
    assert serve.sql(calls.replace("uniqExact(arguments)", "40"))[0][:2] == (40, 40)
