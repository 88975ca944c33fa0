"""
File systems on the other side of a network: locks and writes there do not promise what the spool and the log rely on.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

_MOUNTS: Final = Path("/proc/self/mounts")
_NETWORK: Final = frozenset({
    "9p", "acfs", "afs", "beegfs", "ceph", "cifs", "coda", "davfs", "dlm", "gfs", "gfs2", "glusterfs", "gpfs", "lustre",
    "ncpfs", "nfs", "nfs4", "ocfs2", "orangefs", "panfs", "prl_fs", "pvfs2", "smb2", "smb3", "smbfs", "vboxsf",
    "virtiofs", "vmhgfs", "wekafs",
})  # fmt: skip
_NETWORK_FUSE: Final = re.compile(
    r"fuse\.(sshfs|s3fs|s3backer|goofys|mount-s3|gcsfuse|rclone|blobfuse2?|glusterfs|ceph|ceph-fuse|davfs2?|juicefs|"
    r"JuiceFS.*|seaweedfs|weed|moosefs|mfs.*|cubefs|alluxio.*|beegfs|curlftpfs|nfs|smbnetfs|vmhgfs-fuse|grpcfuse|osxfs)"
)


def network_file_system(folder: Path) -> str | None:
    """The type of the network file system that holds a folder, which need not exist yet; None for a local one."""
    try:
        mounts = _MOUNTS.read_text(errors="surrogateescape")
    except OSError:
        # No /proc, as on macOS: nobody to ask, and a guess would be worse than silence.
        return None
    kind = file_system_of(folder, mounts)
    return kind if kind in _NETWORK or _NETWORK_FUSE.fullmatch(kind) else None


def file_system_of(folder: Path, mounts: str) -> str:
    """The type of the deepest mount above a folder, in the words of /proc/mounts; of two on one place, the later."""
    resolved = folder.resolve()
    kind, depth = "", -1
    for line in mounts.splitlines():
        _, point, this, *_ = line.split(" ")
        place = Path(re.sub(r"\\([0-7]{3})", lambda octal: chr(int(octal[1], 8)), point))
        if resolved.is_relative_to(place) and len(place.parts) >= depth:
            kind, depth = this, len(place.parts)
    return kind
