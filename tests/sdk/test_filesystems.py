"""
File systems on the other side of a network are recognised, and said aloud.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from forewarn.recording import filesystems, spool
from forewarn.recording.filesystems import file_system_of, network_file_system
from forewarn.recording.interface import FrameKind
from forewarn.recording.spool import SegmentSpool

MOUNTS = """\
/dev/sda1 / ext4 rw,relatime 0 0
tmpfs /dev/shm tmpfs rw 0 0
server:/home /home nfs4 rw,vers=4.2 0 0
/dev/sdb1 /home/local xfs rw 0 0
//nas/share /mnt/my\\040share cifs rw 0 0
host /mnt/host 9p rw 0 0
me@there: /mnt/there fuse.sshfs rw 0 0
cloud: /mnt/cloud fuse.rclone rw 0 0
disk /mnt/ntfs fuseblk rw 0 0
overlay /over overlay rw 0 0
server:/over /over nfs rw 0 0
"""


@pytest.fixture
def mounted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine with these mounts."""
    mounts = tmp_path / "mounts"
    mounts.write_text(MOUNTS)
    monkeypatch.setattr(filesystems, "_MOUNTS", mounts)


@pytest.mark.usefixtures("mounted")
@pytest.mark.parametrize(
    ("folder", "kind", "is_remote"),
    [
        ("/var/spool", "ext4", False),
        ("/dev/shm/spool", "tmpfs", False),
        ("/home/me/spool", "nfs4", True),
        ("/home/local/spool", "xfs", False),
        ("/homely", "ext4", False),
        ("/mnt/my share/spool", "cifs", True),
        ("/mnt/host", "9p", True),
        ("/mnt/there/spool", "fuse.sshfs", True),
        ("/mnt/cloud/spool", "fuse.rclone", True),
        ("/mnt/ntfs/spool", "fuseblk", False),
        ("/over/spool", "nfs", True),
    ],
)
def test_the_deepest_and_latest_mount_decides(folder: str, kind: str, is_remote: bool) -> None:
    """
    Whether or not the folder exists yet; a mount's name that only begins alike is another one.
    """
    assert file_system_of(Path(folder), MOUNTS) == kind
    assert network_file_system(Path(folder)) == (kind if is_remote else None)


def test_a_link_leads_to_where_the_bytes_are(tmp_path: Path) -> None:
    """
    A spool reached through a symbolic link is where the link points.
    """
    (tmp_path / "link").symlink_to(tmp_path / "target")

    assert file_system_of(tmp_path / "link" / "spool", f"a / ext4 rw 0 0\nb {tmp_path}/target nfs rw 0 0\n") == "nfs"


def test_nobody_to_ask_is_no_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Without /proc nothing is claimed.
    """
    monkeypatch.setattr(filesystems, "_MOUNTS", tmp_path / "nothing")

    assert network_file_system(tmp_path) is None


def test_a_spool_on_one_says_so_once_and_records(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """
    A spool that may lose records is better than none; a person should know.
    """
    monkeypatch.setattr(spool, "network_file_system", lambda _folder: "nfs4")
    one = SegmentSpool(tmp_path, "me", b"", max_bytes=1 << 20)

    one.append(FrameKind.OTHER, b"x")
    one.rest()
    one.append(FrameKind.OTHER, b"y")

    assert caplog.text.count("is on a network file system (nfs4)") == 1
    assert len(list(tmp_path.glob("*.segment"))) == 2
    one.close()
