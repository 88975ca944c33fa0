"""
`python -m tests.simulation`: live through histories and say what they came to; exit status 1 if a promise was broken.

    python -m tests.simulation --seeds 1-20000          many, on all cores
    python -m tests.simulation --seed 4711              one, with its timeline
    python -m tests.simulation --mutations              break the code in one place after the other: is it found?
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import sys
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from contextlib import suppress
from typing import Final

from tests.simulation import worker
from tests.simulation.mutations import MUTATIONS
from tests.simulation.worker import Tally

_AT_ONCE: Final = 25
"""Seeds that a process lives through before it reports."""
_SHOWN: Final = 20


def main() -> int:
    asked = _parser().parse_args()
    # Sets of texts are walked in the order of their hashes; a seed must decide that, too.
    os.environ["PYTHONHASHSEED"] = "0"
    if asked.mutations:
        return _mutations(asked.mutations_up_to, asked.only, as_json=asked.json)
    if asked.seed is not None:
        return _one(asked.seed, asked.mutate)
    return _many(asked.seeds, asked.processes, as_json=asked.json)


def _one(seed: int, mutation: str) -> int:
    """A history with its timeline: who did what when, and which promise was broken."""
    with _pool(1) as pool:
        outcome = pool.submit(worker.live, seed, mutation=mutation, keeps_timeline=True).result()
    print(*outcome.timeline, sep="\n")
    print(*(f"BROKEN  {violation}" for violation in outcome.violations), sep="\n")
    return int(bool(outcome.violations))


def _many(seeds: range, processes: int, *, as_json: bool) -> int:
    total, began = Tally(), time.perf_counter()
    with suppress(KeyboardInterrupt):  # what has been lived through is told
        for part in _parts(seeds, processes):
            total.add(part)
            if sys.stderr.isatty():
                _progress(total, len(seeds), time.perf_counter() - began)
    took_s = time.perf_counter() - began
    print(_as_json(total, took_s) if as_json else _summary(total, took_s))
    return int(bool(total.broken))


def _progress(total: Tally, of: int, took_s: float) -> None:
    said = f"\r{total.seeds}/{of} histories, {len(total.broken)} broken, {took_s:.0f} s"
    print(said, end="", file=sys.stderr, flush=True)


def _parts(seeds: range, processes: int) -> Iterator[Tally]:
    """Each part as it is done; no more than a few wait, so that an interrupt is soon obeyed."""
    starts = iter(range(seeds.start, seeds.stop, _AT_ONCE))
    with _pool(processes) as pool:
        running: set[Future[Tally]] = set()
        while True:
            while len(running) < 2 * processes and (start := next(starts, None)) is not None:
                running.add(pool.submit(worker.tally, range(start, min(start + _AT_ONCE, seeds.stop))))
            if not running:
                return
            done, running = wait(running, return_when=FIRST_COMPLETED)
            yield from (part.result() for part in done)


def _mutations(most: int, only: str, *, as_json: bool) -> int:
    """Each mutation in a process of its own, since it breaks that for good."""
    names = [only] if only else list(MUTATIONS)
    found: dict[str, int | None] = {}
    with _pool(os.cpu_count() or 1, tasks_per_process=1) as pool:
        runs = {name: pool.submit(worker.tally, range(1, most + 1), name, stops_early=True) for name in names}
        for name, run in runs.items():
            tally = run.result()
            found[name] = tally.seeds if tally.broken else None
            if not as_json:
                told = f"found by history {tally.seeds}: {tally.broken[0][1][0]}" if tally.broken else "NOT FOUND"
                print(f"{name:32} {MUTATIONS[name].says}\n{'':32} {told}", flush=True)
    if as_json:
        print(json.dumps(found))
    return int(None in found.values())


def _pool(processes: int, *, tasks_per_process: int | None = None) -> ProcessPoolExecutor:
    """Processes that have imported everything and changed nothing yet."""
    server = multiprocessing.get_context("forkserver")
    server.set_forkserver_preload(["tests.simulation.worker"])
    return ProcessPoolExecutor(processes, mp_context=server, max_tasks_per_child=tasks_per_process)


def _summary(total: Tally, took_s: float) -> str:
    lines = [f"{count:10}  {what}" for what, count in sorted(total.counts.items())]
    lines.append(f"{total.seeds} histories in {took_s:.1f} s ({total.seconds / max(total.seeds, 1) * 1e3:.1f} ms each)")
    for seed, violations in sorted(total.broken)[:_SHOWN]:
        more = f" (and {len(violations) - 1} more)" if len(violations) > 1 else ""
        lines.append(f"BROKEN in {seed}: {violations[0]}{more}")
        lines.append(f"    replay: {sys.executable} -m tests.simulation --seed {seed}")
    lines.append(f"{len(total.broken)} histories broke a promise" if total.broken else "every promise was kept")
    return "\n".join(lines)


def _as_json(total: Tally, took_s: float) -> str:
    counts: Counter[str] = total.counts
    broken = [{"seed": seed, "violations": violations} for seed, violations in sorted(total.broken)]
    return json.dumps({"seeds": total.seeds, "seconds": round(took_s, 1), "counts": counts, "broken": broken})


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__.splitlines()[1])
    parser.add_argument("--seeds", type=_range, default=range(1, 2001), metavar="FROM-TO", help="default: 1-2000")
    parser.add_argument("--seed", type=int, help="one history, with its timeline")
    parser.add_argument("--mutate", default="", choices=["", *MUTATIONS], help="with --seed: break the code so")
    parser.add_argument("--mutations", action="store_true", help="after how many histories is each mutation found?")
    parser.add_argument("--mutations-up-to", type=int, default=1000, metavar="N", help="give up after N histories")
    parser.add_argument("--only", default="", choices=["", *MUTATIONS], help="with --mutations: this one")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--json", action="store_true")
    return parser


def _range(text: str) -> range:
    first, _, last = text.partition("-")
    return range(int(first), int(last or first) + 1)


if __name__ == "__main__":
    sys.exit(main())
