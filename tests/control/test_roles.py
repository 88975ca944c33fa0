"""
Roles: one that ends by itself is a death that everyone sees.
"""

from __future__ import annotations

import logging
import threading

import pytest

from forewarn_control.roles import Roles


def test_a_role_that_raises_has_died(caplog: pytest.LogCaptureFixture) -> None:
    """
    The death is logged with its traceback, counted, and told.
    """
    told = threading.Event()
    roles = Roles(told.set)

    def break_down(_stop: threading.Event) -> None:
        raise ValueError("no more disk")

    with caplog.at_level(logging.CRITICAL):
        roles.start("sink", break_down)
        assert told.wait(5)
    roles.stop("sink")

    assert roles.died() == {"sink": "ValueError: no more disk"}
    assert "role sink died" in caplog.text
    assert "no more disk" in caplog.text


def test_a_role_that_returns_unasked_has_died(caplog: pytest.LogCaptureFixture) -> None:
    """
    To end without a word is no better than to raise.
    """
    told = threading.Event()
    roles = Roles(told.set)

    roles.start("watcher", lambda _stop: None)
    assert told.wait(5)
    roles.stop("watcher")

    assert roles.died() == {"watcher": "it returned although nobody stopped it"}


def test_a_role_that_was_asked_to_stop_has_not_died() -> None:
    """
    Each is stopped by name, and what it has in hand is finished first.
    """
    finished: list[str] = []
    roles = Roles(lambda: finished.append("died"))

    def work(stop: threading.Event) -> None:
        stop.wait()
        finished.append(threading.current_thread().name)

    roles.start("sink", work)
    roles.start("http", work)
    roles.stop("http")
    first = list(finished)
    roles.stop("sink")

    assert first == ["http"]
    assert finished == ["http", "sink"]
    assert roles.died() == {}
