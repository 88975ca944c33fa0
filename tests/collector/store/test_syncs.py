"""
What the embedded store asks of the disk before an insert returns, counted from outside of the process.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

INSERTER = Path(__file__).with_name("inserter.py")
SYNC = re.compile(r"(?:fsync|fdatasync)\(\d+<([^>]*)>")


@pytest.mark.parametrize("spans", [1, 2_000], ids=["decoded outside", "decoded by the engine"])
def test_an_insert_returns_when_its_files_are_synced(tmp_path: Path, strace: str, spans: int) -> None:
    """
    Each table that an insert fills has synced the data of its new part, and the folder of it, when the insert returns.
    """
    output = tmp_path / "calls"
    command = [strace, "-f", "-y", "-qq", "-e", "trace=fsync,fdatasync,write", "-o", output]

    done = subprocess.run(
        [*command, sys.executable, INSERTER, tmp_path / "store", str(spans)],
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    lines = output.read_text().splitlines()
    begin = next(number for number, line in enumerate(lines) if '"begin\\n"' in line)
    end = next(number for number, line in enumerate(lines) if '"end\\n"' in line)
    synced = [found[1] for line in lines[begin:end] if (found := SYNC.search(line))]
    parts = {Path(path).parent for path in synced if Path(path).name == "data.bin"}
    assert len({part.parent for part in parts}) >= 3, synced  # spans, calls, trace_times
    assert any(Path(path).is_dir() or "." not in Path(path).name for path in synced), synced
