"""Appends to a log, one record after the other, and says by a write of its own when each is acknowledged."""

import os
import sys
from pathlib import Path

from forewarn_collector.log.sqlite import SqliteLog

path, before, count = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
log = SqliteLog(path)
for future in [log.append("bulk", b"x" * 64) for _ in range(before)]:
    future.result()
os.write(1, b"begin\n")
for _ in range(count):
    log.append("starts", b"x" * 1400).result()
    os.write(1, b"acknowledged\n")
os.write(1, b"end\n")
log.close()
