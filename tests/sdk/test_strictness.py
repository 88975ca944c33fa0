"""
Strictness: where a call that nobody acknowledged is refused, and where it runs and says so.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import forewarn


@forewarn.tool(effect="destructive")
def drop(name: str) -> str:
    return f"dropped {name}"


def test_development_runs_and_says_so(gateway: Any, spool: Path, caplog: pytest.LogCaptureFixture) -> None:
    """
    With a development key and the gateway stopped the call runs, and its record arrives later.
    """
    gateway.stop()
    forewarn.configure(endpoint=gateway.url, key=gateway.DEVELOPMENT_KEY, spool=spool, ack_timeout=0.3)

    assert drop("x") == "dropped x"

    gateway.start()
    assert forewarn.flush(10)
    assert "runs though its record is not acknowledged" in caplog.text
    assert [one["record"] for one in gateway.taken] == ["start", "end"]


@pytest.mark.parametrize(
    ("key", "claim", "unreachable", "refused"),
    [
        ("production", None, "run", True),
        ("production", "development", "run", True),
        ("development", "production", "run", True),
        ("development", "produktion", "run", True),
        ("development", None, "refuse", True),
        ("development", None, "run", False),
        ("staging", "development", "run", False),
        (None, None, "run", True),
        (None, "development", "run", False),
        (None, "prod", "run", True),
    ],
)
def test_the_stricter_of_key_and_claim_decides(
    spool: Path, *, key: str | None, claim: str | None, unreachable: Any, refused: bool
) -> None:
    """
    A claim can only make it stricter than the key; without either it is as in production.
    """
    forewarn.configure(
        endpoint="http://127.0.0.1:1",
        key=f"fwk_{key}_0a_0b" if key else None,
        environment=claim,
        unreachable=unreachable,
        spool=spool,
        ack_timeout=0.1,
    )

    if refused:
        with pytest.raises(forewarn.NotRecorded):
            drop("customers")
    else:
        assert drop("x") == "dropped x"


def test_unconfigured_says_what_to_set(spool: Path) -> None:
    """
    A process that nobody set up refuses, and the text names the two settings.
    """
    with pytest.raises(forewarn.NotRecorded) as caught:
        drop("customers")
    error = caught.value

    assert "no endpoint and no key is configured" in str(error)
    assert "FOREWARN_ENDPOINT and FOREWARN_KEY" in error.remedy
