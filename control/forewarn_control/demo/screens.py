"""The pages as the woken person sees them: PagerDuty's alert and Slack's message, drawn from the bodies received."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from itertools import zip_longest
from typing import Any, Final

from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

_LINK: Final = re.compile(r"<([^|>]+)\|([^>]+)>")
_MARKS: Final = re.compile(r"(?P<bold>\*[^*\n]+\*)|(?P<code>```.+?```|`[^`\n]+`)", re.DOTALL)
_ENTITIES: Final = (("&lt;", "<"), ("&gt;", ">"), ("&amp;", "&"))


def pagerduty_screen(event: Mapping[str, Any], label: str) -> Panel:
    """One alert: the summary, then every detail that has a value."""
    payload = event["payload"]
    details = Table.grid(padding=(0, 2))
    details.add_column(style="dim", no_wrap=True)
    details.add_column(overflow="fold")
    for name, value in payload.get("custom_details", {}).items():
        if value not in ("", None):
            details.add_row(name, Text(_detail(value)))
    for link in event.get("links", []):
        details.add_row(str(link.get("text", "link")), Text(link["href"]))
    head = Text(payload["summary"], style="bold red")
    return Panel(Group(head, Text(), details), title=label, title_align="left", border_style="green")


def slack_screen(message: Mapping[str, Any], label: str) -> Panel:
    """One message: its blocks from top to bottom, or its text where it has none."""
    blocks = message.get("blocks") or [{"type": "section", "text": {"type": "mrkdwn", "text": message.get("text", "")}}]
    parts = [part for block in blocks for part in _block(block)]
    return Panel(Group(*parts), title=label, title_align="left", border_style="magenta")


def _block(block: Mapping[str, Any]) -> Iterator[RenderableType]:
    kind = block["type"]
    if kind == "header":
        yield Text(block["text"]["text"], style="bold")
    elif kind == "section":
        if "text" in block:
            yield _mrkdwn(block["text"]["text"])
        if "fields" in block:
            yield _two_columns([_mrkdwn(one["text"]) for one in block["fields"]])
    elif kind == "context":
        yield Text(" ").join(
            _mrkdwn(element["text"], style="dim") for element in block["elements"] if "text" in element
        )
    elif kind == "actions":
        yield Text("  ").join(
            Text(f"[ {element['text']['text']} ]", style="reverse")
            for element in block["elements"]
            if "text" in element
        )
    elif kind == "divider":
        yield Text("─" * 20, style="dim")


def _detail(value: Any) -> str:
    if isinstance(value, list):
        return "\n".join(map(str, value))
    return value if isinstance(value, str) else json.dumps(value)


def _two_columns(fields: list[Text]) -> Table:
    """As Slack sets the fields of a section."""
    table = Table.grid(padding=(0, 4))
    for left, right in zip_longest(fields[::2], fields[1::2], fillvalue=Text()):
        table.add_row(left, right)
    return table


def _mrkdwn(source: str, *, style: str = "") -> Text:
    """Slack's own mark-up as styles; links as `text (address)`."""
    source = _LINK.sub(r"\2 (\1)", source)
    text, end = Text(style=style), 0
    for mark in _MARKS.finditer(source):
        text.append(_plain(source[end : mark.start()]))
        text.append(_plain(mark[0].strip("*`\n")), style="bold" if mark["bold"] else "cyan")
        end = mark.end()
    text.append(_plain(source[end:]))
    return text


def _plain(source: str) -> str:
    for entity, character in _ENTITIES:
        source = source.replace(entity, character)
    return source
