"""
Calls whose end does not come: paged when their time is over, once, and never because the watcher was late.
"""

from __future__ import annotations

from typing import Any

from forewarn.conventions import Topic
from forewarn_alerts.tables import INCIDENTS, OPEN_CALLS
from forewarn_alerts.watcher import CHUNK_RECORDS


def test_a_call_without_an_end_pages_when_its_time_is_over(world: Any, kit: Any) -> None:
    """
    Not before, and once.
    """
    kit.send(world.log, kit.Call())
    world.settle()
    kit.clock.advance(59.9)
    world.settle()
    assert world.opened() == ["destructive-in-production"]

    kit.clock.advance(0.2)
    world.settle()
    kit.clock.advance(600)
    world.settle()

    assert world.opened() == ["destructive-in-production", "outcome-unknown"]
    assert world.rows(OPEN_CALLS) == []


def test_an_end_that_is_read_first_counts(world: Any, kit: Any) -> None:
    """
    Two topics keep no order between them.
    """
    kit.send(world.log, kit.Call(), ended=True)
    world.settle()

    kit.send(world.log, kit.Call())
    world.settle()
    kit.clock.advance(120)
    world.settle()

    assert world.opened() == ["destructive-in-production"]


def test_a_late_end_does_not_take_the_page_back_or_repeat_it(world: Any, kit: Any) -> None:
    """
    The call ended after its page: it is forgotten quietly.
    """
    kit.send(world.log, kit.Call())
    world.settle()
    kit.clock.advance(61)
    world.settle()

    kit.send(world.log, kit.Call(), ended=True)
    world.settle()
    kit.clock.advance(61)
    world.settle()

    assert world.opened() == ["destructive-in-production", "outcome-unknown"]


def test_a_watcher_that_lags_does_not_page_falsely(world: Any, kit: Any) -> None:
    """
    An end that the log held at the deadline counts, though the watcher reads it long after.
    """
    call = kit.Call(effect="read")
    bulk = kit.request(call, *(call.span(ended=True) for _ in range(2000)))
    kit.send(world.log, kit.Call())
    world.watcher.step()
    for _ in range(4):
        world.log.append(Topic.SPANS, bulk, headers=call.headers).result()
    kit.send(world.log, kit.Call(), ended=True)
    kit.clock.advance(300)

    for _ in range(3):
        world.watcher.step()
        assert world.opened() == ["destructive-in-production"]
    world.settle()

    assert world.opened() == ["destructive-in-production"]


def test_a_restart_forgets_no_deadline_and_reads_on_before_it_pages(world: Any, kit: Any) -> None:
    """
    Two calls were open when the watcher died; one ended while it was away.
    """
    kit.send(world.log, kit.Call(number=1))
    kit.send(world.log, kit.Call(number=2))
    world.watcher.step()
    kit.send(world.log, kit.Call(number=1), ended=True)
    kit.clock.advance(3600)

    world.start()
    world.settle()

    overdue = [row for row in world.rows(INCIDENTS) if row.rule == "outcome-unknown"]
    assert [row.group_key.split("\n")[0] for row in overdue] == [kit.Call(number=2).trace_id]


def test_a_topic_that_was_never_read_is_read_before_anyone_is_paged(world: Any, kit: Any) -> None:
    """
    The watcher died before its first commit: it knows no position, and the end is still unread.
    """
    kit.send(world.log, kit.Call())
    world.watcher.step()
    for number in range(2, CHUNK_RECORDS + 1):  # the first chunk is just full: nothing of the other topic fits in
        kit.send(world.log, kit.Call(number=number, effect="read"))
    kit.send(world.log, kit.Call(), ended=True)
    kit.clock.advance(3600)

    world.start()
    world.settle()

    assert world.opened() == ["destructive-in-production"]
