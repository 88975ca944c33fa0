"""
A sender of bulk: 512-span bodies at a set rate over one gateway's HTTP door, until its standard input is closed.

The bodies are made before the clock starts (the corpus without what pages, dated now) and sent in turn, over and
over: a body that was sent before has the same spans again, which costs gateway, log and sink the same. Says `ready`
once it sends, and at the end one JSON object: the rate that was acknowledged, and what was refused.

    python benchmarks/bulk_sender.py http://127.0.0.1:4318 KEY 30000
"""

from __future__ import annotations

import json
import sys
import threading
import time
from collections import Counter
from itertools import cycle

import urllib3
from otlp_corpus import SPANS_PER_REQUEST, Corpus

_BODIES = 40
_CONNECTIONS = 4
_HEADERS = {"content-type": "application/x-protobuf"}


class Pace:
    """Which body is next and when it is due, for any number of threads; a late one is sent at once."""

    def __init__(self, bodies: list[bytes], spans_per_s: float) -> None:
        self._bodies = cycle(bodies)
        self._interval_s = SPANS_PER_REQUEST / spans_per_s
        self._due = time.monotonic()
        self._lock = threading.Lock()

    def next(self) -> tuple[bytes, float]:
        with self._lock:
            # A second of lateness is forgiven: making up for more would be a flood, not a rate.
            self._due = max(self._due + self._interval_s, time.monotonic() - 1)
            return next(self._bodies), self._due


def send(url: str, key: str, pace: Pace, *, over: threading.Event, answers: Counter[int]) -> None:
    headers = _HEADERS | {"authorization": f"Bearer {key}"}
    with urllib3.PoolManager(maxsize=1, retries=False) as pool:
        while not over.is_set():
            body, due = pace.next()
            if over.wait(max(0.0, due - time.monotonic())):
                return
            answer = pool.request("POST", f"{url}/v1/traces", body=body, headers=headers)
            answers[answer.status] += 1


def main() -> None:
    url, key, spans_per_s = sys.argv[1], sys.argv[2], float(sys.argv[3])
    tools = {"list_tables": "read", "read_file": "read", "write_file": "write"}
    corpus = Corpus(start_ns=time.time_ns(), tools=tools, environments=("production",))
    pace = Pace(list(corpus.requests(_BODIES * SPANS_PER_REQUEST)), spans_per_s)
    over, answers, began = threading.Event(), Counter[int](), time.monotonic()
    threads = [
        threading.Thread(target=send, args=(url, key, pace), kwargs={"over": over, "answers": answers})
        for _ in range(_CONNECTIONS)
    ]
    for thread in threads:
        thread.start()
    print("ready", flush=True)
    sys.stdin.read()
    over.set()
    for thread in threads:
        thread.join()
    took = time.monotonic() - began
    refused = {status: count for status, count in answers.items() if status != 200}
    print(json.dumps({"spans_per_s": round(answers[200] * SPANS_PER_REQUEST / took), "refused": refused}), flush=True)


if __name__ == "__main__":
    main()
