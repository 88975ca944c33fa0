"""
What targets are sent: complete, within the vendors' documented limits, and safe to show.
"""

from __future__ import annotations

import io
import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forewarn_alerts.notify import slack, webhook
from forewarn_alerts.notify.console import ConsoleTarget, text_of
from forewarn_alerts.notify.interface import Page
from forewarn_alerts.notify.pagerduty import event_of
from forewarn_alerts.notify.samples import sample_page
from forewarn_alerts.notify.wording import facts
from forewarn_alerts.pages import Links
from forewarn_alerts.rules import Severity

PAGE: Page = replace(
    sample_page("inc-1", at_ns=1_790_000_000_123_000_000),
    rule="destructive-in-production",
    severity=Severity.CRITICAL,
    summary="janitor > cleaner called drop_table",
    environment="production",
    environment_claimed="staging",
    service="billing-janitor",
    host="db-tools-2",
    key_id="production_7f3a",
    trace_id="4bf92f3577b34da6a3ce929d0e0e4736",
    trace_url="https://grafana.example.com/t/4bf92f3577b34da6a3ce929d0e0e4736",
    runbook="docs/rules/destructive-in-production.md",
    is_test=False,
)
TEXTS = st.text(max_size=40) | st.sampled_from(
    ["x" * 9000, "&<>" * 4000, "\U0001f600" * 3000, "```" * 2000, "\n" * 5000]
)
PAGES = st.builds(
    replace,
    st.just(PAGE),
    summary=TEXTS,
    arguments=TEXTS,
    reasoning=TEXTS,
    note=TEXTS,
    tool=TEXTS,
    agent_path=TEXTS,
    service=TEXTS,
    host=TEXTS,
    environment=TEXTS,
    environment_claimed=TEXTS,
    error_type=TEXTS,
    severity=st.sampled_from(Severity),
)
FACTS = (
    "janitor > cleaner",
    "drop_table",
    "customers_old",
    "This is what an agent's reasoning looks like in a page.",
    "(0.8 s before)",
    "production (verified by key production_7f3a)",
    "staging (NOT what its key stands for)",
    "billing-janitor",
    "db-tools-2",
    "2026-09-21T14:13:20.123Z",
    "destructive (declared)",
    "4bf92f3577b34da6a3ce929d0e0e4736",
    "forewarn traces show 4bf92f3577b34da6",
    "https://grafana.example.com/t/",
    "destructive-in-production",
    "docs/rules/destructive-in-production.md",
    "forewarn keys revoke production_7f3a",
)


def _plain_slack(page: Page) -> str:
    text = json.dumps(slack.message_of(page, "inc-1.it.1"), ensure_ascii=False)
    return text.replace("&gt;", ">").replace("&lt;", "<").replace("&amp;", "&").replace('\\"', '"')


RENDERINGS = {
    "pagerduty": lambda page: json.dumps(event_of(page, "inc-1.it.1"), ensure_ascii=False),
    "slack": _plain_slack,
    "webhook": lambda page: json.dumps(webhook.body_of(page, "d"), ensure_ascii=False),
    "console": text_of,
}


@pytest.mark.parametrize("name", [name for name in RENDERINGS if name != "webhook"])
def test_a_page_says_everything_that_on_call_needs(name: str) -> None:
    """
    Who, what, why, where, when, which rule, and what to do next.
    """
    text = RENDERINGS[name](PAGE)

    assert [fact for fact in FACTS if fact not in text] == []


def test_a_page_leaves_out_what_says_nothing() -> None:
    """
    A claim that agrees with the key, and a reasoning of this very moment, are not worth a tired reader's numbers.
    """
    text = text_of(replace(PAGE, environment_claimed="production", reasoned_before_ms=3))

    assert "claims to run in" not in text
    assert "(right before)" in text


def test_the_webhook_holds_every_field() -> None:
    """
    A machine reads fields, not sentences.
    """
    body = webhook.body_of(PAGE, "inc-1.it.1")

    assert body["agent_path"] == "janitor > cleaner"
    assert {"environment", "environment_claimed", "arguments", "reasoning", "what_to_do", "delivery"} <= body.keys()
    assert body["what_to_do"][0] == "Look at what it did: forewarn traces show 4bf92f3577b34da6"


@pytest.mark.parametrize("name", list(RENDERINGS))
def test_a_test_page_says_so_first(name: str) -> None:
    """
    Nobody takes a test for an incident.
    """
    text = RENDERINGS[name](sample_page("test-1", at_ns=1))

    assert "[TEST] INFO" in text


@given(PAGES)
def test_pagerduty_takes_any_page(page: Page) -> None:
    """
    Summary, dedup key, severity, source and size are within the Events API's limits.
    """
    event = event_of(page, "inc-1.it.1")

    payload = event["payload"]
    assert 0 < len(payload["summary"]) <= 1024
    assert 0 < len(event["dedup_key"]) <= 255
    assert payload["source"]
    assert payload["severity"] in {"critical", "error", "warning", "info"}
    assert len(json.dumps(event).encode()) < 512 << 10
    assert all(link["href"].startswith("https://") for link in event["links"])


@given(PAGES)
def test_slack_takes_any_page(page: Page) -> None:
    """
    Blocks, fields and texts are within Block Kit's limits, and no text is empty.
    """
    message = slack.message_of(page, "inc-1.it.1")

    assert len(message["blocks"]) <= 50
    assert 0 < len(message["text"]) <= 40_000
    for block in message["blocks"]:
        match block["type"]:
            case "header":
                assert 0 < len(block["text"]["text"]) <= 150
            case "section" if "fields" in block:
                assert 0 < len(block["fields"]) <= 10
                assert all(0 < len(one["text"]) <= 2000 for one in block["fields"])
            case "section":
                assert 0 < len(block["text"]["text"]) <= 3000
            case _:
                assert 0 < len(block["elements"]) <= 10


@given(st.text(), st.integers(10, 200))
def test_escaped_text_commands_nothing(text: str, limit: int) -> None:
    """
    No mention, no link, and no entity torn in half.
    """
    safe = slack.escaped(text, limit)

    assert len(safe) <= limit
    assert "<" not in safe
    assert ">" not in safe
    rest = safe.replace("&amp;", "").replace("&lt;", "").replace("&gt;", "")
    assert "&" not in rest


def test_an_agent_cannot_close_slacks_code_block_or_mention_anyone() -> None:
    """
    Arguments are data, whatever they look like.
    """
    page = replace(PAGE, arguments='{"a":"``` <!channel> <https://evil.example|click>"}')

    code = slack.message_of(page, "d")["blocks"][1]["text"]

    assert code["text"].count("```") == 2
    assert "<" not in code["text"]
    assert code["verbatim"] is True


def test_an_agent_cannot_steer_the_terminal() -> None:
    """
    Escape sequences are shown as marks; lines stay lines.
    """
    stream = io.StringIO()
    target = ConsoleTarget("console", stream)

    target.send(target.render(replace(PAGE, reasoning="ok\x1b[2J\x07\nCRITICAL fake"), "d"))

    written = stream.getvalue()
    assert "\x1b" not in written
    assert not any(line.startswith("CRITICAL fake") for line in written.splitlines())


def test_a_signature_is_checked_as_documented() -> None:
    """
    Another body, another secret and an old time are refused.
    """
    header = webhook.sign("s", b"body", 1000)

    assert webhook.verify("s", header, b"body", now=1100.0)
    assert not webhook.verify("s", header, b"other", now=1100.0)
    assert not webhook.verify("t", header, b"body", now=1100.0)
    assert not webhook.verify("s", header, b"body", now=1301.0)
    assert not webhook.verify("s", "v1=\u00e9,t=x", b"body", now=1000.0)
    assert not webhook.verify("s", "", b"body", now=1000.0)


@pytest.mark.parametrize(
    ("links", "runbook", "expected"),
    [
        (Links(), "docs/rules/a.md", ("", "docs/rules/a.md")),
        (Links("https://f/", "https://git/x/"), "docs/a.md", ("https://f/traces/ab", "https://git/x/docs/a.md")),
        (Links("https://g/?t={trace_id}&x=1"), "https://wiki/a", ("https://g/?t=ab&x=1", "https://wiki/a")),
        (Links(), "", ("", "")),
    ],
)
def test_links_lead_where_they_are_configured_to(links: Links, runbook: str, expected: tuple[str, str]) -> None:
    """
    Without a place to open a trace there is no link, and the command stands alone.
    """
    assert (links.trace("ab"), links.runbook(runbook)) == expected


def test_arguments_that_are_no_json_are_shown_as_they_are() -> None:
    """
    A page never fails on what an agent sent.
    """
    details: dict[str, Any] = event_of(replace(PAGE, arguments="{cut"), "d")["payload"]["custom_details"]

    assert details["arguments"] == "{cut"


def test_a_page_does_not_call_running_what_has_ended() -> None:
    """
    Senders that tell of calls only when they are over seldom say how they went.
    """
    over = replace(PAGE, outcome="", error_type="", duration_ms=12, has_ended=True)

    assert dict(facts(over))["outcome"] == "not said, ended after 12 ms"
    assert dict(facts(replace(over, has_ended=False)))["outcome"] == "running or unknown"
