"""`forewarn doctor` says what could not be stored, whether or not somebody serves the folder."""

from __future__ import annotations

from pathlib import Path

from forewarn.conventions import Topic
from forewarn_collector.log.sqlite import SqliteLog
from forewarn_collector.sink import REASON_HEADER, SOURCE_HEADER
from forewarn_control.doctor.check import Health
from forewarn_control.doctor.dead_letters import dead_letters


def test_buried_records_are_counted_with_the_last_reason(tmp_path: Path) -> None:
    """Content before there is a log and while nothing is buried, then how many and why; while the log is open."""
    found = [dead_letters(tmp_path)]
    log = SqliteLog(tmp_path / "log.sqlite3")
    found.append(dead_letters(tmp_path))
    for number in range(2):
        headers = {REASON_HEADER: f"reason {number}".encode(), SOURCE_HEADER: b"otlp_spans:0:7"}
        log.append(Topic.DEAD_LETTERS, b"value", headers=headers).result(10)

    found.append(dead_letters(tmp_path))
    log.close()
    found.append(dead_letters(tmp_path))

    assert [check.health for check in found] == [Health.OK, Health.OK, Health.WARNING, Health.WARNING]
    assert found[2].found == "2 records were buried, the last (otlp_spans:0:7) because: reason 1"
    assert found[3] == found[2]


def test_a_log_that_is_none_is_a_warning(tmp_path: Path) -> None:
    """The doctor goes on to its other checks."""
    (tmp_path / "log.sqlite3").write_bytes(b"no database" * 100)

    check = dead_letters(tmp_path)

    assert check.health is Health.WARNING
    assert "cannot be read" in check.found
