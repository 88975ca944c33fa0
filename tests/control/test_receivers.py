"""
The local receivers refuse what the documented APIs refuse, and take what they take.
"""

from __future__ import annotations

import copy
import json
import urllib.error
import urllib.request
from typing import Any

import pytest

from forewarn_control.demo import pagerduty, slack
from forewarn_control.demo.receivers import Answer, Receiver, Request

EVENT: dict[str, Any] = {
    "routing_key": "0" * 32,
    "event_action": "trigger",
    "dedup_key": "d",
    "payload": {
        "summary": "drop_table in production",
        "source": "billing-janitor",
        "severity": "critical",
        "timestamp": "2026-09-01T02:14:07.409Z",
        "custom_details": {"tool": "drop_table"},
    },
    "links": [{"href": "https://example.com", "text": "runbook"}],
}
SECTION = {"type": "section", "text": {"type": "mrkdwn", "text": "hello"}}


def changed(path: str, value: Any) -> dict[str, Any]:
    event = copy.deepcopy(EVENT)
    *parents, last = path.split(".")
    place = event
    for parent in parents:
        place = place[parent]
    place[last] = value
    return event


def sent(service: Any, path: str, body: object, *, method: str = "POST") -> Answer:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return service(Request(method, path, {}, raw, 1))


def test_pagerduty_takes_a_proper_event() -> None:
    """
    A complete trigger is accepted with 202 and its dedup key.
    """
    answer = sent(pagerduty.answer, pagerduty.PATH, EVENT)

    assert answer.status == 202
    assert json.loads(answer.body) == {"status": "success", "message": "Event processed", "dedup_key": "d"}


@pytest.mark.parametrize(
    ("path", "value", "reason"),
    [
        ("routing_key", "short", "routing_key"),
        ("event_action", "page", "event_action"),
        ("dedup_key", "x" * 256, "dedup_key"),
        ("payload.summary", "", "payload.summary"),
        ("payload.summary", "x" * 1025, "payload.summary"),
        ("payload.source", "", "payload.source"),
        ("payload.severity", "fatal", "payload.severity"),
        ("payload.timestamp", "2026-09-01 02:14:07", "payload.timestamp"),
        ("payload.custom_details", "text", "payload.custom_details"),
        ("payload", None, "payload is required"),
        ("links", [{"text": "no address"}], "links"),
        ("client_url", "forewarn traces show 1", "client_url"),
    ],
)
def test_pagerduty_refuses_a_faulty_event(path: str, value: Any, reason: str) -> None:
    """
    An event that the documentation rules out is answered with 400 and the reason.
    """
    answer = sent(pagerduty.answer, pagerduty.PATH, changed(path, value))

    assert answer.status == 400
    assert [reason in one for one in json.loads(answer.body)["errors"]] == [True]


@pytest.mark.parametrize(
    ("path", "body", "method", "status"),
    [
        ("/v1/enqueue", EVENT, "POST", 404),
        (pagerduty.PATH, EVENT, "PUT", 405),
        (pagerduty.PATH, b"{", "POST", 400),
        (pagerduty.PATH, [], "POST", 400),
        (pagerduty.PATH, b" " * (512 * 1024 + 1), "POST", 413),
    ],
)
def test_pagerduty_refuses_what_is_no_event(path: str, body: object, method: str, status: int) -> None:
    """
    A wrong path, method, form or size is refused before the event is looked at.
    """
    assert sent(pagerduty.answer, path, body, method=method).status == status


def test_pagerduty_needs_a_key_to_resolve() -> None:
    """
    Acknowledge and resolve name the alert they are for.
    """
    event = {"routing_key": "0" * 32, "event_action": "resolve"}

    assert sent(pagerduty.answer, pagerduty.PATH, event).status == 400
    assert sent(pagerduty.answer, pagerduty.PATH, event | {"dedup_key": "d"}).status == 202


def test_slack_takes_a_proper_message() -> None:
    """
    Text with blocks within the limits is answered with `ok`.
    """
    message = {
        "text": "drop_table in production",
        "blocks": [
            {"type": "header", "text": {"type": "plain_text", "text": "CRITICAL"}},
            SECTION,
            {"type": "section", "fields": [{"type": "mrkdwn", "text": "*who* janitor"}]},
            {"type": "context", "elements": [{"type": "mrkdwn", "text": "rule"}]},
            {"type": "actions", "elements": [{"type": "button", "text": {"type": "plain_text", "text": "Runbook"}}]},
            {"type": "divider"},
        ],
    }

    answer = sent(slack.answer, slack.PATH, message)

    assert (answer.status, answer.body, answer.reasons) == (200, b"ok", ())


@pytest.mark.parametrize(
    "block",
    [
        {"type": "section"},
        {"type": "section", "text": {"type": "mrkdwn", "text": "x" * 3001}},
        {"type": "section", "text": {"type": "mrkdwn", "text": ""}},
        {"type": "section", "fields": [{"type": "mrkdwn", "text": "x"}] * 11},
        {"type": "section", "fields": [{"type": "mrkdwn", "text": "x" * 2001}]},
        {"type": "header", "text": {"type": "mrkdwn", "text": "x"}},
        {"type": "header", "text": {"type": "plain_text", "text": "x" * 151}},
        {"type": "context", "elements": [{"type": "mrkdwn", "text": "x"}] * 11},
        {"type": "actions", "elements": []},
        {"type": "actions", "elements": [{"type": "button", "text": {"type": "plain_text", "text": "x" * 76}}]},
        {
            "type": "actions",
            "elements": [{"type": "button", "text": {"type": "plain_text", "text": "x"}, "style": "x"}],
        },
        {"type": "unheard_of"},
        "text",
        SECTION | {"block_id": "x" * 256},
    ],
)
def test_slack_refuses_a_faulty_block(block: object) -> None:
    """
    A block beyond Block Kit's limits is answered with 400 `invalid_blocks`.
    """
    answer = sent(slack.answer, slack.PATH, {"text": "t", "blocks": [block]})

    assert (answer.status, answer.body) == (400, b"invalid_blocks")
    assert answer.reasons


@pytest.mark.parametrize(
    ("path", "body", "status", "word"),
    [
        ("/services/x", {"text": "t"}, 404, b"no_service"),
        (slack.PATH, b"{", 400, b"invalid_payload"),
        (slack.PATH, [], 400, b"invalid_payload"),
        (slack.PATH, {}, 400, b"no_text"),
        (slack.PATH, {"text": "x" * 40_001}, 400, b"msg_too_long"),
        (slack.PATH, {"blocks": [SECTION] * 51}, 400, b"invalid_blocks"),
    ],
)
def test_slack_refuses_what_is_no_message(path: str, body: object, status: int, word: bytes) -> None:
    """
    A wrong path, form or size is refused with Slack's own word.
    """
    answer = sent(slack.answer, path, body)

    assert (answer.status, answer.body) == (status, word)


def test_a_receiver_keeps_what_it_took_and_what_it_refused() -> None:
    """
    Over real HTTP, a page is kept with its time of arrival; a refused one with its reasons, and ends the waiting.
    """
    with Receiver("PagerDuty", pagerduty.answer) as receiver:
        request = urllib.request.Request(receiver.url + pagerduty.PATH, json.dumps(EVENT).encode())
        with urllib.request.urlopen(request) as response:
            status = response.status
        page = receiver.wait(lambda page: page.body["dedup_key"] == "d", timeout_s=5)
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(urllib.request.Request(receiver.url + pagerduty.PATH, b"{}"))
        refused.value.close()
        never = receiver.wait(lambda page: False, timeout_s=60)

    assert status == 202
    assert page is not None
    assert page.body == EVENT
    assert page.received_at_ns > 0
    assert refused.value.code == 400
    assert receiver.refused[0].reasons
    assert never is None
