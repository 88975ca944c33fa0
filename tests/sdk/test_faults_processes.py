"""
Real processes in trouble: storms of forks, crowds of threads and tasks, stops, jumping clocks, ends with much unsent.

What arrives is compared with what was called: each record once, and the numbers of each sender without a gap.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

import forewarn
from forewarn.conventions import SERVICE_INSTANCE_ID

KEY = "fwk_test_0a_0b"
PREAMBLE = """
import asyncio, json, multiprocessing, os, random, signal, sys, threading, time
import forewarn

@forewarn.tool(effect="read")
def look(what):
    return what

@forewarn.tool(effect="write")
async def note(what):
    await asyncio.sleep(0)
    return what

def configure():
    forewarn.configure(service="agent", endpoint=sys.argv[1], key="fwk_test_0a_0b", spool=sys.argv[2])
"""
FORK_STORM = """
configure()
running = True

def write_on():
    while running:
        look("parent")

threads = [threading.Thread(target=write_on) for _ in range(3)]
for thread in threads:
    thread.start()
children = []
for number in range(int(sys.argv[3])):
    child = os.fork()
    if child == 0:
        look(f"child {number}")
        if number % 2:
            os.kill(os.getpid(), signal.SIGKILL)
        os._exit(0)
    children.append(child)
ends = {os.waitpid(child, 0)[1] for child in children}
running = False
for thread in threads:
    thread.join()
assert ends == {0, signal.SIGKILL}, ends
"""
CROWD = """
configure()
begin = threading.Barrier(65)

def work(number):
    begin.wait()
    for row in range(5):
        look(f"thread {number} {row}")

async def together():
    await asyncio.gather(*(note(f"task {number}") for number in range(1000)))

threads = [threading.Thread(target=work, args=(number,)) for number in range(64)]
for thread in threads:
    thread.start()
begin.wait()
asyncio.run(together())
for thread in threads:
    thread.join()
"""
SPAWNED = """
def work(number):
    configure()
    look(f"spawned {number}")

if __name__ == "__main__":
    configure()
    look("parent")
    with multiprocessing.get_context("spawn").Pool(3) as pool:
        pool.map(work, range(6))
        pool.close()
        pool.join()
"""
SHARED = """
configure()
for row in range(200):
    look(f"{os.getpid()} {row}")
"""
UNSENT = """
configure()
for row in range(5000):
    look(row)
"""
JUMPING_CLOCK = """
real = time.time_ns
chance = random.Random(7)
time.time_ns = lambda: real() + chance.choice([0, -86_400, 86_400, 3_600, -5]) * 10**9
time.time = lambda: time.time_ns() / 1e9
configure()
for row in range(300):
    look(row)
"""
STOPPED = """
configure()
print("begun", flush=True)
for row in range(400):
    look(row)
    time.sleep(0.002)
"""


def start(source: str, gateway: Any, spool: Path, *arguments: object, **settings: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", PREAMBLE + source, gateway.url, str(spool), *map(str, arguments)]
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=os.environ | settings
    )


def finish(process: subprocess.Popen[str]) -> str:
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors
    return errors


def deliver_the_rest(gateway: Any, spool: Path) -> None:
    forewarn.configure(service="next", endpoint=gateway.url, key=KEY, spool=spool)
    assert forewarn.flush(timeout=60)
    assert forewarn.shutdown()


def calls(gateway: Any) -> Counter[str]:
    """The arguments of every call whose start and end are on record, each counted once however often it was sent."""
    seen: dict[tuple[str, str], str] = {
        (one["span_id"], one["record"]): one["attributes"]["gen_ai.tool.call.arguments"] for one in gateway.taken
    }
    starts = {span: text for (span, record), text in seen.items() if record == "start"}
    ends = {span: text for (span, record), text in seen.items() if record == "end"}
    assert starts.keys() == ends.keys()
    return Counter(starts.values())


def numbers(gateway: Any) -> dict[str, set[int]]:
    """The sequence numbers of each sender."""
    found: dict[str, set[int]] = defaultdict(set)
    for post in gateway.posts:
        (resource,) = [one.resource for one in ExportTraceServiceRequest.FromString(post.body).resource_spans]
        (sender,) = [one.value.string_value for one in resource.attributes if one.key == SERVICE_INSTANCE_ID]
        found[sender] |= {one["attributes"]["forewarn.sequence"] for one in post.records}
    return found


def assert_no_gap(gateway: Any) -> None:
    for sender, found in numbers(gateway).items():
        assert found == set(range(1, max(found) + 1)), sender


def test_a_storm_of_forks_loses_nothing(gateway: Any, spool: Path, thorough: bool) -> None:
    """
    Children are forked while threads of the parent write; half of them are killed at once, none sends by itself.
    """
    forks = 200 if thorough else 40

    finish(start(FORK_STORM, gateway, spool, forks))
    deliver_the_rest(gateway, spool)

    arrived = calls(gateway)
    assert [arrived[f'{{"what":"child {number}"}}'] for number in range(forks)] == [1] * forks
    assert_no_gap(gateway)
    assert [path for path in spool.rglob("*") if path.is_file()] == []


def test_a_crowd_of_threads_and_tasks_is_recorded_whole(gateway: Any, spool: Path) -> None:
    """
    64 threads and 1,000 asyncio tasks at once: every call, once, and one sequence without a gap.
    """
    finish(start(CROWD, gateway, spool, FOREWARN_EXIT_TIMEOUT="60"))

    arrived = calls(gateway)
    assert len(arrived) == 64 * 5 + 1000
    assert set(arrived.values()) == {1}
    assert len(numbers(gateway)) == 1
    assert_no_gap(gateway)


def test_spawned_processes_are_senders_of_their_own(gateway: Any, spool: Path, tmp_path: Path) -> None:
    """
    Nothing of the parent reaches them but the settings; all that they did is on record.
    """
    script = tmp_path / "spawning.py"
    script.write_text(PREAMBLE + SPAWNED)

    subprocess.run([sys.executable, script, gateway.url, spool], check=True, timeout=120)
    deliver_the_rest(gateway, spool)

    assert calls(gateway) == Counter(['{"what":"parent"}', *(f'{{"what":"spawned {n}"}}' for n in range(6))])
    assert_no_gap(gateway)


def test_processes_share_a_folder(gateway: Any, spool: Path) -> None:
    """
    Four processes write and send at once from one folder, and leave it empty.
    """
    crowd = [start(SHARED, gateway, spool, FOREWARN_EXIT_TIMEOUT="60") for _ in range(4)]
    for process in crowd:
        finish(process)

    arrived = calls(gateway)
    assert len(arrived) == 800
    assert set(arrived.values()) == {1}
    assert len(numbers(gateway)) == 4
    assert_no_gap(gateway)
    assert [path for path in spool.rglob("*") if path.is_file()] == []


def test_an_end_with_much_unsent_is_bounded_and_the_next_process_sends_it(gateway: Any, spool: Path) -> None:
    """
    10,000 records wait and the gateway never answers: the process ends by itself, and nothing of it is lost.
    """
    held = threading.Event()
    gateway.react = lambda _handler, _post: held.wait(300) and None

    finish(start(UNSENT, gateway, spool, FOREWARN_EXIT_TIMEOUT="0.5"))

    assert not held.is_set()
    gateway.react = gateway.behave
    gateway.posts.clear()
    held.set()
    deliver_the_rest(gateway, spool)
    arrived = calls(gateway)
    assert len(arrived) == 5000
    assert set(arrived.values()) == {1}
    assert_no_gap(gateway)


def test_a_clock_that_jumps_changes_nothing_but_the_times(gateway: Any, spool: Path) -> None:
    """
    Days back and forth between any two looks: every record arrives, in time for the end of the process.
    """
    finish(start(JUMPING_CLOCK, gateway, spool, FOREWARN_EXIT_TIMEOUT="60"))

    assert len(calls(gateway)) == 300
    assert_no_gap(gateway)
    assert list(spool.rglob("*.segment")) == []


def test_a_stopped_process_keeps_its_own(
    gateway: Any, spool: Path, thorough: bool, eventually: Callable[..., Any]
) -> None:
    """
    SIGSTOP, SIGCONT, at random moments: while it stands still nobody takes its records, afterwards it sends them.
    """
    agent = start(STOPPED, gateway, spool, FOREWARN_EXIT_TIMEOUT="60")
    assert agent.stdout is not None
    assert agent.stdout.readline() == "begun\n"
    eventually(lambda: list(spool.rglob("*.segment")))

    for _ in range(3):
        agent.send_signal(signal.SIGSTOP)
        try:
            eventually(lambda: _is_stopped(agent.pid))
            before = {path: path.stat().st_size for path in spool.rglob("*.segment")}
            deliver_the_rest(gateway, spool)
            time.sleep(30 if thorough else 0.2)  # the fault itself, not a wait for anything
            after = {path: path.stat().st_size for path in spool.rglob("*.segment")}
        finally:
            agent.send_signal(signal.SIGCONT)
        assert after == before
        time.sleep(random.uniform(0.0, 0.1))

    finish(agent)
    assert len(calls(gateway)) == 400
    assert_no_gap(gateway)


def _is_stopped(process: int) -> bool:
    return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] == "T"
