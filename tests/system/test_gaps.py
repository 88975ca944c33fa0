"""
Whether a gap between an agent and the store is seen, named, and closed.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from typing import Any

OVERDUE = "SELECT 1 FROM senders GROUP BY sender HAVING max(received_at) < now64() - INTERVAL 13 SECOND"


def _told(serve: Any, *, status: int) -> list[dict[str, Any]]:
    answer = json.loads(serve.command("gaps", "--service", "reader-service", "--json", status=status))
    return list(answer["senders"])


def test_a_killed_agent_is_a_gap_until_its_spool_is_sent(serve: Any, eventually: Any) -> None:
    """
    `kill -9` of an agent that was cut off: silent, with the host where its records wait; once they came, no gap.
    """
    serve.environment["FOREWARN_HEARTBEAT"] = "1"
    key = serve.key("production")
    agent = serve.agent("left_alone", key=key)
    assert agent.stdout.readline() == "heard of\n", agent.stderr.read()
    eventually(lambda: serve.sql("SELECT 1 FROM senders WHERE latest.event != '' AND issued >= 3"))
    assert _told(serve, status=0)[0]["life"] == "alive"
    serve.stop()
    agent.send_signal(signal.SIGUSR1)
    assert agent.stdout.readline() == "cut off\n", agent.stderr.read()
    os.kill(agent.pid, signal.SIGKILL)
    agent.communicate()
    serve.start()

    eventually(lambda: serve.sql(OVERDUE), but="the heartbeat is overdue")
    (silent,) = _told(serve, status=1)
    drain = [sys.executable, "-m", "forewarn", "spool", "drain"]
    subprocess.run(drain, env=serve.agent_environment(key), check=True, capture_output=True, timeout=60)
    eventually(lambda: serve.sql("SELECT count() FROM calls") == [(6,)])

    (finding,) = silent["findings"]
    assert (finding["verdict"], silent["host"]) == ("silent", socket.gethostname())
    assert f"waits on host {socket.gethostname()}" in finding["reason"]
    after = {each["sender"]: each for each in _told(serve, status=0)}
    assert after[silent["sender"]]["findings"] == []
    assert after[silent["sender"]]["received"] > silent["received"]
