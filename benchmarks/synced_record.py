"""
What a call costs that is on the disk before it runs and again when it has ended, against three packages of the field.

Forewarn with `sync_effects`: a start record and an end record, each synced. gove-zone's `Kernel.dispatch` writes one
record and none of the end; kiff-guard's `Verifier.run` and guardledger's `Sentinel.guard` write two (guardledger with
almost five syncs, as it opens and closes its database for each). `bare` is the disk alone: two writes of 800 bytes, two
`fdatasync`. Every contestant is a process of its own that waits while another is
measured; they take turns, with one thread and with several, at the start of their history and late in it.

    python benchmarks/synced_record.py [--at 100,100000] [--calls 400] [--rounds 3] [--threads 1,8] [--json]
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import peers
from measuring import Report, clean_environment, file_system, numbers, parser, quantiles

CONTESTANTS = ("bare", "forewarn", "gove-zone", "kiff-guard", "guardledger")
SYNCED_RECORDS = {"bare": 2, "forewarn": 2, "gove-zone": 1, "kiff-guard": 2, "guardledger": 2}


class ContestantDied(Exception):
    """It cannot be measured; the text says what it said last."""


class Contestant:
    """A process of `guarded_calls.py` that does what it is told, one command at a time."""

    def __init__(self, name: str, folder: Path) -> None:
        self.name = name
        python = sys.executable if name in {"bare", "forewarn"} else str(peers.interpreter(name))
        self._said = (folder / "stderr.txt").open("w+")
        self._process = subprocess.Popen(
            [python, str(Path(__file__).with_name("guarded_calls.py")), name, str(folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._said,
            text=True,
            cwd=folder,
            env=clean_environment(),
        )
        self.version: str = self._answer()["version"]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._said.close()

    def tell(self, **command: int) -> dict[str, Any]:
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps(command) + "\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            pass  # the answer says why
        return self._answer()

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            self._process.wait()
            self._said.seek(0)
            said = [each.strip() for each in self._said if each.strip()]
            raise ContestantDied(said[-1][:200] if said else f"ended with status {self._process.returncode}")
        answer: dict[str, Any] = json.loads(line)
        return answer


def run(names: list[str], at: list[int], threads: list[int], *, calls: int, rounds: int, folder: Path) -> list[Any]:
    rows: list[dict[str, Any]] = []
    with ExitStack() as stack:
        contestants = []
        for name in names:
            (home := folder / name).mkdir()
            try:
                contestants.append(stack.enter_context(Contestant(name, home)))
            except (peers.PeerMissing, ContestantDied) as why:
                rows.append({"contestant": name, "note": f"NOT MEASURED: {why}"})
        for record in at:
            for contestant in contestants:
                print(f"{contestant.name}: to record {record:,} ...", file=sys.stderr, flush=True)
                contestant.tell(fill=record)
            for count in threads:
                rows += compare(contestants, record, count, calls=calls, rounds=rounds)
    return rows


def compare(contestants: list[Contestant], record: int, threads: int, *, calls: int, rounds: int) -> list[Any]:
    answers: dict[str, list[dict[str, Any]]] = {each.name: [] for each in contestants}
    for _ in range(rounds):
        for each in contestants:
            answers[each.name].append(each.tell(calls=calls, threads=threads))
    rows: list[dict[str, Any]] = [
        {"contestant": each.name, "version": each.version, "records": SYNCED_RECORDS[each.name]}
        | {"from record": record, "threads": threads}
        | measured(answers[each.name])
        for each in contestants
    ]
    ours = next((row["p50 us"] for row in rows if row["contestant"] == "forewarn"), None)
    return [row | {"p50 / ours": round(row["p50 us"] / ours, 2) if ours else None} for row in rows]


def measured(answers: list[dict[str, Any]]) -> dict[str, Any]:
    taken = [each for answer in answers for each in answer["nanoseconds"]]
    faults = [each for answer in answers for each in answer["faults"]]
    return {
        **{f"{name} us": value for name, value in quantiles(taken, divisor=1e3).items()},
        "calls/s": round(statistics.median(answer["calls_per_s"] for answer in answers)),
        "failed": len(faults),
        "note": faults[0] if faults else None,
    }


def main() -> None:
    options = parser(__doc__, disk=True)
    options.add_argument("--only", default=",".join(CONTESTANTS), help="names, with commas between them")
    options.add_argument("--at", type=numbers, default=[100, 100_000], help="from which record on, rising")
    options.add_argument("--threads", type=numbers, default=[1, 8])
    options.add_argument("--calls", type=int, default=400, help="in each turn, shared out over the threads")
    options.add_argument("--rounds", type=int, default=3)
    given = options.parse_args()
    with tempfile.TemporaryDirectory(dir=given.folder, prefix="forewarn-bench-") as folder:
        kind = file_system(Path(folder))
        rows = run(
            given.only.split(","), given.at, given.threads, calls=given.calls, rounds=given.rounds, folder=Path(folder)
        )
    notes = [
        f"file system: {kind}",
        "records: synced ones a call; the time is the caller's, its wait for other threads included",
    ]
    Report("A call whose record is synced to the disk", rows, notes).show(as_json=given.json)


if __name__ == "__main__":
    main()
