"""An agent that is gone the moment its `read` call has returned."""

import os
import signal
import sys

import forewarn

forewarn.configure(service="reader-service")


@forewarn.tool(effect="read")
def count_rows(table: str) -> int:
    return 7


count_rows(sys.argv[1])
os.kill(os.getpid(), signal.SIGKILL)
