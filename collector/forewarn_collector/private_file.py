"""Files for the eyes of their owner only, also in a folder that others may look into."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

_OWNER_ONLY = 0o600


def make_private(path: Path) -> None:
    """
    Make the file, empty, where there is none. SQLite gives what it writes beside a database the rights of that file.

    What stands in the way is left for SQLite to say: it opens the same path next, and its errors are explained.
    """
    with suppress(OSError):
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, _OWNER_ONLY))
