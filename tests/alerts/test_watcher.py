"""
From the log to incidents: once each, whatever is read twice, late or out of order.
"""

from __future__ import annotations

import logging
import threading
import time
from typing import Any

import msgspec
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from sqlalchemy import event
from sqlalchemy.exc import OperationalError

from forewarn.conventions import EFFECT, REASONING_AT, Topic
from forewarn_alerts import metrics
from forewarn_alerts.incidents import Incidents
from forewarn_alerts.notify.interface import Page
from forewarn_alerts.rules import load_rules
from forewarn_alerts.tables import HITS, INCIDENTS, OPEN_CALLS, OUTBOX
from forewarn_alerts.watcher import COMMIT_EVERY_NS, GROUP, TOPICS, Watcher
from forewarn_collector.log.interface import Committed, TopicPartition

BAD_RULE = "title: Bad\nseverity: info\non: start\nwhen: call.arguments.nope == 1\n"
WRITES = "title: W\nseverity: info\non: missing_end\nafter: 10s\nwhen: call.effect == 'write'\n"


def test_a_destructive_call_opens_one_incident_for_every_target(world: Any, kit: Any) -> None:
    """
    The incident, its hit and a delivery for each target of the route are there together.
    """
    kit.send(world.log, kit.Call())

    world.watcher.step()

    [incident] = world.rows(INCIDENTS)
    assert (incident.rule, incident.severity, incident.state, incident.hits) == (
        "destructive-in-production",
        "critical",
        "open",
        1,
    )
    assert [(row.target, row.state) for row in world.rows(OUTBOX)] == [("pager", "pending"), ("chat", "pending")]
    assert [row.incident for row in world.rows(HITS)] == [incident.id]


@pytest.mark.parametrize(("written_at", "before_ms"), [(-800_000_000, 800), (None, None)])
def test_a_page_says_how_long_before_the_agent_reasoned(
    world: Any, kit: Any, written_at: int | None, before_ms: int | None
) -> None:
    """
    The start record itself carries the time, so that the page never waits for the reasoning's own record.
    """
    extra = {} if written_at is None else {REASONING_AT: str(kit.EPOCH_NS + written_at)}
    kit.send(world.log, kit.Call(extra=extra))

    world.watcher.step()

    page = msgspec.json.decode(world.rows(OUTBOX)[0].page, type=Page)
    assert page.reasoned_before_ms == before_ms


def test_an_identical_call_joins_and_a_different_one_pages(world: Any, kit: Any) -> None:
    """
    Deduplication never swallows a different destructive call.
    """
    kit.send(world.log, kit.Call(number=1, digest="same"))
    kit.send(world.log, kit.Call(number=2, digest="same"))
    kit.send(world.log, kit.Call(number=3, digest="other"))

    world.watcher.step()

    assert [row.hits for row in world.rows(INCIDENTS)] == [2, 1]
    assert len(world.rows(OUTBOX)) == 4


def test_the_same_call_of_another_service_is_another_incident(world: Any, kit: Any) -> None:
    """
    Two services with one name for an agent and a tool drop two tables, not one.
    """
    kit.send(world.log, kit.Call(number=1, digest="same", service="billing"))
    kit.send(world.log, kit.Call(number=2, digest="same", service="shipping"))

    world.watcher.step()

    assert [row.hits for row in world.rows(INCIDENTS)] == [1, 1]


def test_the_same_call_in_another_environment_is_another_incident(kit: Any) -> None:
    """
    By default, what a development key sends takes no page of production's into its incident.
    """
    any_drop = 'title: Any\nseverity: error\non: start\nwhen: call.tool == "drop_table"\n'
    world = kit.world(kit.rules(any_drop=any_drop))
    kit.send(world.log, kit.Call(number=1, digest="same", environment="development"))
    kit.send(world.log, kit.Call(number=2, digest="same", environment="production"))

    world.watcher.step()

    assert [row.hits for row in world.rows(INCIDENTS)] == [1, 1]


def test_a_key_of_another_environment_cannot_be_there_first(kit: Any) -> None:
    """
    Ids are the sender's to choose: what development says under the ids of a call of production takes no page away.
    """
    rule = "title: R\nseverity: info\non: start\nwhen: call.effect == 'write'\ngroup_by: [environment]\n"
    world = kit.world(kit.rules(writes=rule))
    kit.send(world.log, kit.Call(effect="write", environment="development"))
    world.settle()
    kit.send(world.log, kit.Call(effect="write"))
    world.settle()

    assert world.opened() == ["writes", "writes"]


def test_an_identical_call_after_the_repeat_interval_pages_again(world: Any, kit: Any) -> None:
    """
    An hour later nobody remembers the first page.
    """
    kit.send(world.log, kit.Call(number=1, digest="same", effect="destructive"))
    kit.send(world.log, kit.Call(number=1, digest="same"), ended=True)
    world.settle()
    kit.clock.advance(3601)

    kit.send(world.log, kit.Call(number=2, digest="same"))
    world.settle()

    assert world.opened() == ["destructive-in-production"] * 2


def test_start_records_are_taken_before_bulk(world: Any, kit: Any) -> None:
    """
    A start record waits for one small piece of bulk at the most.
    """
    call = kit.Call(effect="read")
    bulk = kit.request(call, *(call.span(ended=True) for _ in range(1500)))
    for _ in range(5):
        world.log.append(Topic.SPANS, bulk, headers=call.headers).result()
    world.watcher.step()
    kit.send(world.log, kit.Call())

    world.watcher.step()

    assert world.opened() == ["destructive-in-production"]
    assert world.counted(metrics.RECORDS) < 6


def test_positions_are_committed_after_the_findings(world: Any, kit: Any) -> None:
    """
    What the state refused is read again after a crash.
    """
    kit.send(world.log, kit.Call())

    def refuse(*_: Any) -> None:
        raise OperationalError("", {}, Exception("disk full"))

    event.listen(world.engine, "commit", refuse)
    kit.clock.advance(COMMIT_EVERY_NS / 1e9)
    with pytest.raises(OperationalError):
        world.watcher.step()
    assert world.log.consumer(GROUP, TOPICS).committed(TopicPartition(Topic.STARTS, 0)) is None
    event.remove(world.engine, "commit", refuse)

    world.watcher.step()

    assert world.opened() == ["destructive-in-production"]
    assert world.log.consumer(GROUP, TOPICS).committed(TopicPartition(Topic.STARTS, 0)) == Committed(1)


def test_a_replay_of_everything_pages_nothing_twice(world: Any, kit: Any) -> None:
    """
    Offsets may go back to the beginning, of both topics or of one.
    """
    for number in range(1, 6):
        kit.send(world.log, kit.Call(number=number))
        kit.send(world.log, kit.Call(number=number), ended=True)
    world.settle()
    before = (world.rows(INCIDENTS), world.rows(HITS), len(world.rows(OUTBOX)))

    for topics in (TOPICS, TOPICS[:1], TOPICS[1:]):
        consumer = world.log.consumer(GROUP, TOPICS)
        consumer.commit({TopicPartition(topic, 0): Committed(0) for topic in topics})
        world.start()
        world.settle()
        kit.clock.advance(61)
        world.settle()

    assert (world.rows(INCIDENTS), world.rows(HITS), len(world.rows(OUTBOX))) == before


def test_starts_in_the_bulk_topic_count_too(kit: Any) -> None:
    """
    Records of `write` calls travel through the spool, with everything else.
    """
    world = kit.world(kit.rules(writes=WRITES))
    kit.send(world.log, kit.Call(number=1, effect="write"), topic=Topic.SPANS)
    kit.send(world.log, kit.Call(number=2, effect="write"), topic=Topic.SPANS)
    kit.send(world.log, kit.Call(number=2, effect="write"), ended=True)
    world.settle()
    kit.clock.advance(11)
    world.settle()

    assert [row.call for row in world.rows(HITS)] != []
    assert world.opened() == ["writes"]


def test_what_a_record_says_twice_is_what_it_says_first(world: Any, kit: Any) -> None:
    """
    As in the store: an effect behind the one that counts hides no call.
    """
    request = ExportTraceServiceRequest.FromString(kit.Call().start())
    span = request.resource_spans[0].scope_spans[0].spans[0]
    span.attributes.append(KeyValue(key=EFFECT, value=AnyValue(string_value="read")))
    world.log.append(Topic.STARTS, request.SerializeToString(), headers=kit.Call().headers).result()
    world.settle()

    assert world.opened() == ["destructive-in-production"]


def test_an_awaited_rule_that_is_gone_is_forgotten(kit: Any) -> None:
    """
    Its file was removed while a call was open: nobody asked to be told any more.
    """
    world = kit.world(kit.rules(writes=WRITES))
    kit.send(world.log, kit.Call(effect="write"))
    world.settle()

    world.rules = load_rules()
    world.start()
    kit.clock.advance(60)
    world.settle()

    assert (world.opened(), world.rows(OPEN_CALLS)) == ([], [])


def test_a_rule_that_fails_raises_its_own_incident(kit: Any, caplog: pytest.LogCaptureFixture) -> None:
    """
    It is counted, logged, and told to those whom the rule would have told; once, not for every record.
    """
    world = kit.world(kit.rules(bad=BAD_RULE))
    for number in range(1, 30):
        kit.send(world.log, kit.Call(number=number))

    with caplog.at_level(logging.ERROR):
        world.settle()

    [incident] = world.rows(INCIDENTS)
    assert (incident.rule, incident.severity) == ("rule-error", "error")
    page = msgspec.json.decode(world.rows(OUTBOX)[0].page, type=Page)
    assert page.note.startswith("bad.yaml: NOT_FOUND: Key not found in map")
    assert world.counted(metrics.RULE_ERRORS, rule="bad") == 29
    assert world.counted(metrics.HITS, rule="rule-error") == 1
    assert "rule bad failed on span" in caplog.text


def test_a_record_that_nobody_can_read_does_not_stop_the_road(world: Any, kit: Any) -> None:
    """
    It is counted and skipped; its neighbours still page.
    """
    world.log.append(Topic.STARTS, b"\xff\xff", headers={}).result()
    kit.send(world.log, kit.Call())

    world.settle()

    assert (world.counted(metrics.UNREADABLE), world.counted(metrics.HITS, rule="destructive-in-production")) == (1, 1)
    assert (world.counted(metrics.RECORDS), world.counted(metrics.INCIDENTS)) == (2, 1)
    assert world.opened() == ["destructive-in-production"]


def test_the_running_watcher_waits_out_trouble_and_stops_when_told(world: Any, kit: Any) -> None:
    """
    A state that cannot be reached for a moment loses nothing.
    """
    refused = threading.Event()

    def refuse_once(*_: Any) -> None:
        if not refused.is_set():
            refused.set()
            raise OperationalError("", {}, Exception("locked"))

    event.listen(world.engine, "commit", refuse_once)
    stop = threading.Event()
    running = threading.Thread(target=world.watcher.run, args=(stop,))
    running.start()
    kit.send(world.log, kit.Call())
    deadline = time.monotonic() + 10
    while not world.rows(INCIDENTS) and time.monotonic() < deadline:
        stop.wait(0.02)
    stop.set()
    running.join(10)
    world.watcher.close()

    assert refused.is_set()
    assert world.opened() == ["destructive-in-production"]
    assert world.log.consumer(GROUP, TOPICS).committed(TopicPartition(Topic.STARTS, 0)) == Committed(1)


def test_a_clock_that_is_set_back_does_not_stop_the_commits(kit: Any) -> None:
    """
    What was read is committed all the same: else a bounded log could not forget it until the clock had caught up.
    """
    log = kit.log()
    incidents = Incidents(kit.engine(), {"oncall": []}, clock_ns=kit.clock)
    watcher = Watcher(log, load_rules(), incidents, clock_ns=kit.clock)
    kit.send(log, kit.Call())
    kit.clock.advance(-3600)

    watcher.step()

    committed = log.consumer(GROUP, TOPICS).committed(TopicPartition(TOPICS[0], 0))
    assert committed is not None
    assert committed.offset == 1
