"""
The agent of the benchmarks: destructive calls, each acknowledged before it runs; prints when each was called and begun.

    FOREWARN_ENDPOINT=... FOREWARN_KEY=... python benchmarks/acting_agent.py --calls 400 --pause 10,30
"""

from __future__ import annotations

import argparse
import json
import random
import threading
import time

import forewarn

_WARM_UP = 20


@forewarn.tool(effect="destructive")
def drop_table(name: str, number: int) -> int:  # noqa: ARG001
    return time.time_ns()


def act(numbers: range, pause_ms: tuple[float, float], made: list[dict[str, int]]) -> None:
    with forewarn.agent("bench"):
        for number in numbers:
            called = time.time_ns()
            begun = drop_table("customers", number)
            made.append({"number": number, "called": called, "begun": begun, "ended": time.time_ns()})
            if pause_ms[1]:
                time.sleep(random.uniform(*pause_ms) / 1000)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--calls", type=int, required=True)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--pause", default="0,0", help="milliseconds between two calls of a thread, from,to")
    parser.add_argument("--first", type=int, default=0, help="the number of the first call")
    options = parser.parse_args()
    low, high = map(float, options.pause.split(","))
    forewarn.configure(service="bench")
    act(range(-_WARM_UP - options.first, -options.first), (0, 0), [])
    made: list[dict[str, int]] = []
    last = options.first + options.calls
    workers = [
        threading.Thread(target=act, args=(range(options.first + number, last, options.threads), (low, high), made))
        for number in range(options.threads)
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    print(json.dumps(made))
    forewarn.shutdown()


if __name__ == "__main__":
    main()
