"""
Records that nobody sends: said aloud, once, and sent later by whoever cannot mislabel them.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest

import forewarn
from forewarn import configuration


@forewarn.tool(effect="read")
def look() -> str:
    return "seen"


def left_behind(spool: Path, **options: Any) -> None:
    """A process records one call and ends without having sent it."""
    forewarn.configure(service="forgetful", spool=spool, **options)
    look()
    assert not forewarn.shutdown(0.0)


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [one.getMessage() for one in caplog.records if one.levelno >= logging.WARNING]


def test_a_forgotten_configure_says_what_to_set_and_where_records_wait(
    caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    """
    Reads run, and the first one says once that nothing is sent.
    """
    look()
    look()

    (said,) = warnings(caplog)
    assert "no endpoint and no key is configured" in said
    assert "FOREWARN_ENDPOINT and FOREWARN_KEY" in said
    assert str(tmp_path / "unconfigured" / "unknown") in said
    assert not forewarn.flush(0.1)


def test_an_endpoint_without_a_key_says_so(caplog: pytest.LogCaptureFixture, gateway: Any, spool: Path) -> None:
    """
    The one setting that is missing is named.
    """
    forewarn.configure(endpoint=gateway.url, spool=spool)

    (said,) = warnings(caplog)
    assert "no key is configured" in said


def test_a_production_process_sends_what_was_recorded_without_a_key(gateway: Any, spool: Path) -> None:
    """
    An unknown environment counts as production, so a production key's stamp calls those records what they count as.
    """
    left_behind(spool)

    forewarn.configure(service="next", endpoint=gateway.url, key=gateway.KEY, spool=spool)

    assert forewarn.flush()
    assert [one["record"] for one in gateway.taken] == ["start", "end"]
    assert list((spool / "unknown").iterdir()) == []


@pytest.mark.parametrize("environment", ["development", "staging", "eu-west"])
def test_other_processes_leave_it_alone_and_say_so(
    environment: str, gateway: Any, spool: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """
    Under another environment's key the records would be called what they may not be.
    """
    left_behind(spool)
    caplog.clear()

    forewarn.configure(endpoint=gateway.url, key=f"fwk_{environment}_0a1b_secretsecret", spool=spool)

    assert forewarn.flush()
    assert gateway.taken == []
    (said,) = warnings(caplog)
    assert str(spool / "unknown") in said
    assert "only a process with a production key" in said


def test_a_claim_keeps_its_records_for_its_own_environment(gateway: Any, spool: Path) -> None:
    """
    What was recorded without a key under a claimed environment waits for a key of that environment.
    """
    left_behind(spool, environment="test")

    forewarn.configure(endpoint=gateway.url, key=gateway.KEY, spool=spool)
    assert forewarn.flush()
    assert gateway.taken == []

    forewarn.configure(endpoint=gateway.url, key="fwk_test_0a1b_secretsecret", spool=spool)
    assert forewarn.flush()
    assert len(gateway.taken) == 2


def test_what_a_living_process_without_a_key_records_is_not_taken_from_it(gateway: Any, spool: Path) -> None:
    """
    Only what a dead process left is adopted.
    """
    forewarn.configure(spool=spool)
    look()
    living = configuration._setup
    configuration._setup = configuration._runtime = None

    forewarn.configure(endpoint=gateway.url, key=gateway.KEY, spool=spool)

    assert forewarn.flush()
    assert gateway.taken == []
    assert living is not None
    living.close(0.0)
