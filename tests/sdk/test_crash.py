"""
Processes that die, and processes that fork: what was on record before a call ran stays on record.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

import forewarn
from forewarn.conventions import SERVICE_INSTANCE_ID

KILLED_AFTER_A_READ = """
import os, signal, sys, forewarn
forewarn.configure(service="victim", environment="test", spool=sys.argv[1])

@forewarn.tool(effect="read")
def look(number):
    return number

for number in map(int, sys.argv[2:]):
    child = os.fork()
    if child == 0:
        look(number)
        os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(child, 0)
"""
KILLED_IN_A_CALL = """
import os, signal, sys, forewarn
forewarn.configure(service="victim", environment="test", spool=sys.argv[1])

@forewarn.tool(effect="read")
def look():
    os.kill(os.getpid(), signal.SIGKILL)

look()
"""
FORKS = """
import os, sys, forewarn
forewarn.configure(service="parent", endpoint=sys.argv[1], key="fwk_test_0a_0b", spool=sys.argv[2])

@forewarn.tool(effect="read")
def look(who):
    return who

@forewarn.tool(effect="destructive")
def drop(who):
    return who

look("parent"), drop("parent")
children = []
for number in range(3):
    child = os.fork()
    if child == 0:
        look(f"child {number}"), drop(f"child {number}")
        sys.exit(0)
    children.append(child)
look("parent again")
assert [os.waitpid(child, 0)[1] for child in children] == [0, 0, 0]
"""


def run(source: str, *arguments: str) -> int:
    return subprocess.run([sys.executable, "-c", source, *arguments], timeout=60, check=False).returncode


def test_killed_right_after_a_read_forty_of_forty(gateway: Any, spool: Path) -> None:
    """
    `kill -9` the moment a read call returned: the next process sends its start and its end, 40 times of 40.
    """
    assert run(KILLED_AFTER_A_READ, str(spool), *map(str, range(40))) == 0
    gateway_key = "fwk_test_0a_0b"

    forewarn.configure(service="next", endpoint=gateway.url, key=gateway_key, spool=spool)
    assert forewarn.flush(timeout=20)

    seen = sorted((one["attributes"]["gen_ai.tool.call.arguments"], one["record"]) for one in gateway.taken)
    assert seen == sorted((f'{{"number":{number}}}', kind) for number in range(40) for kind in ("start", "end"))
    assert list(spool.rglob("*.segment")) == []


def test_killed_inside_a_call(gateway: Any, spool: Path) -> None:
    """
    The start is there without an end; another environment's process leaves it alone, its own sends it.
    """
    assert run(KILLED_IN_A_CALL, str(spool)) == -signal.SIGKILL

    forewarn.configure(endpoint=gateway.url, key=gateway.KEY, spool=spool)
    assert forewarn.flush(timeout=10)
    assert gateway.taken == []
    forewarn.configure(endpoint=gateway.url, key="fwk_test_0a_0b", spool=spool)
    assert forewarn.flush(timeout=10)

    assert [one["record"] for one in gateway.taken] == ["start"]


def test_a_forked_child_is_a_sender_of_its_own(gateway: Any, spool: Path) -> None:
    """
    Parent and children write, send and are acknowledged apart: each sender starts, counts 1, 2, 3, stops, and nothing
    is there twice.
    """
    assert run(FORKS, gateway.url, str(spool)) == 0

    by_sender: dict[str, list[Any]] = {}
    for post in gateway.posts:
        (resource,) = [one.resource for one in ExportTraceServiceRequest.FromString(post.body).resource_spans]
        names = {attribute.key: attribute.value.string_value for attribute in resource.attributes}
        by_sender.setdefault(names[SERVICE_INSTANCE_ID], []).extend(post.records)
    sequences = sorted(
        sorted(one["attributes"]["forewarn.sequence"] for one in records) for records in by_sender.values()
    )
    assert sequences == [[*range(1, 7)], [*range(1, 7)], [*range(1, 7)], [*range(1, 9)]]
    assert [path for path in spool.rglob("*") if path.is_file()] == []


def test_a_child_does_not_keep_its_dead_parents_lock(tmp_path: Path) -> None:
    """
    A lock inherited over fork is closed in the child, so that the parent's segments can be adopted when it dies.
    """
    from forewarn.recording.claims import Claim
    from forewarn.recording.interface import FrameKind
    from forewarn.recording.spool import SegmentSpool

    parents = SegmentSpool(tmp_path, "parent", b"", max_bytes=1 << 20)
    parents.append(FrameKind.OTHER, b"x")
    begin, end = os.pipe(), os.pipe()
    child = os.fork()
    if child == 0:
        parents.drop_copies()
        os.write(begin[1], b".")
        os.read(end[0], 1)
        os._exit(0)
    os.read(begin[0], 1)
    held = Claim.take(tmp_path, "parent")
    parents.drop_copies()

    claim = Claim.take(tmp_path, "parent")

    os.write(end[1], b".")
    os.waitpid(child, 0)
    assert held is None
    assert claim is not None
    claim.give_back()
