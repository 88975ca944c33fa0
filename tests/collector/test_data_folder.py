"""One process owns the folder of an embedded Forewarn, and only the version that wrote it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from forewarn_collector.data_folder import DataFolder, InUse, NotWritable, OtherVersion
from forewarn_collector.log.sqlite import SqliteLog
from forewarn_collector.state import open_state


def test_a_new_folder_is_made_and_can_be_opened_again(tmp_path: Path) -> None:
    """The first start makes everything; what is inside is for its owner only."""
    path = tmp_path / "deep" / "data"
    with DataFolder.open(path) as folder:
        assert folder.log.parent == folder.store.parent == folder.endpoints.parent == path
        assert folder.state_url == f"sqlite:///{path}/state.sqlite3"

    with DataFolder.open(path):
        pass

    assert path.stat().st_mode & 0o777 == 0o700
    assert (path / "forewarn.json").read_text() == '{"format": 1}\n'


def test_a_folder_in_use_names_its_owner(tmp_path: Path) -> None:
    """By pid, so that one knows what to stop; a command that only reads needs not own it."""
    with DataFolder.open(tmp_path):
        with pytest.raises(InUse, match=f"in use by process {os.getpid()}.*--data") as caught:
            DataFolder.open(tmp_path)

        assert caught.value.pid == os.getpid()
        assert DataFolder(tmp_path).endpoints == tmp_path / "endpoints.json"


def test_an_owner_that_was_killed_owns_nothing(tmp_path: Path) -> None:
    """A crash leaves no stale lock."""
    code = f"""
import os, signal
from pathlib import Path
from forewarn_collector.data_folder import DataFolder
folder = DataFolder.open(Path({str(tmp_path)!r}))
os.kill(os.getpid(), signal.SIGKILL)
"""
    subprocess.run([sys.executable, "-c", code], check=False)

    with DataFolder.open(tmp_path) as folder:
        assert (tmp_path / "owner.lock").read_text() == f"{os.getpid()}\n"
        assert folder.path == tmp_path


@pytest.mark.parametrize("content", ['{"format": 2}', '{"format": "1"}', "{}", "[]", "not json", ""])
def test_another_format_is_left_alone(tmp_path: Path, content: str) -> None:
    """Data of another version is not touched, and the message says which version it is."""
    (tmp_path / "forewarn.json").write_text(content)

    with pytest.raises(OtherVersion, match=r"this Forewarn writes format 1.*--data"):
        DataFolder.open(tmp_path)

    assert (tmp_path / "forewarn.json").read_text() == content


def test_data_without_a_format_is_left_alone(tmp_path: Path) -> None:
    """A folder that lost its format file is not taken for a new one."""
    (tmp_path / "log.sqlite3").write_bytes(b"")

    with pytest.raises(OtherVersion, match=r"no forewarn\.json"):
        DataFolder.open(tmp_path)


def test_a_folder_that_cannot_be_written_says_so(tmp_path: Path) -> None:
    """Where, why, and what to do; a file in the way is as bad as a right that is missing."""
    (tmp_path / "file").write_text("in the way")

    for path in (tmp_path / "file", tmp_path / "file" / "below", Path("/proc/forewarn")):
        with pytest.raises(NotWritable, match=rf"{path} cannot be written to \(.+\).*--data"):
            DataFolder.open(path)


@pytest.mark.skipif(os.geteuid() == 0, reason="nothing is read-only to root")
def test_a_folder_without_the_right_to_write_says_so(tmp_path: Path) -> None:
    """The usual case."""
    tmp_path.chmod(0o500)

    with pytest.raises(NotWritable, match="Permission denied"):
        DataFolder.open(tmp_path)


def test_a_refused_folder_is_not_kept_locked(tmp_path: Path) -> None:
    """Whoever mends it can start at once."""
    (tmp_path / "forewarn.json").write_text("{}")
    with pytest.raises(OtherVersion):
        DataFolder.open(tmp_path)
    (tmp_path / "forewarn.json").unlink()

    with DataFolder.open(tmp_path):
        pass


def test_what_is_recorded_is_private_in_a_folder_that_is_not(tmp_path: Path) -> None:
    """Databases, the files SQLite keeps beside them and the store are for their owner, whatever the umask was."""
    tmp_path.chmod(0o755)
    before = os.umask(0o022)
    try:
        with DataFolder.open(tmp_path) as folder:
            log, engine = SqliteLog(folder.log), open_state(folder.state_url)
            log.append("topic", b"value").result(10)
            with engine.begin() as connection:
                connection.exec_driver_sql("CREATE TABLE secrets (id INTEGER)")
                found = {path.name: path.stat().st_mode & 0o777 for path in tmp_path.iterdir()}
            engine.dispose()
            log.close()
    finally:
        os.umask(before)

    assert {"log.sqlite3", "log.sqlite3-wal", "state.sqlite3", "state.sqlite3-wal"} <= found.keys()
    assert {mode for name, mode in found.items() if "sqlite3" in name} == {0o600}
    assert found["store"] == 0o700


def test_a_network_file_system_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Whoever keeps the data on a network file system is told at every start; a local disk is no news."""
    mounts = tmp_path / "mounts"
    monkeypatch.setattr("forewarn.recording.filesystems._MOUNTS", mounts)
    said = []

    for kind in ("ext4", "nfs4"):
        caplog.clear()
        mounts.write_text(f"none / ext4 rw 0 0\nthere {tmp_path} {kind} rw 0 0\n")
        with DataFolder.open(tmp_path / "data"):
            said.append([record.getMessage() for record in caplog.records])

    assert said[0] == []
    assert "nfs4" in said[1][0]
    assert "--data" in said[1][0]
