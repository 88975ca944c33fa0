"""How a timeline looks on a terminal: in order, each thing that happened, colours only where there is a terminal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from typing import Final

from rich.console import Console, ConsoleOptions, Group, RenderableType
from rich.table import Table
from rich.text import Text

from forewarn.conventions import Effect
from forewarn_collector.holes import Hole
from forewarn_collector.timeline import Entry, Kind, Timeline, Told

_EFFECT_STYLES: Final[dict[str, str]] = {
    Effect.READ: "green",
    Effect.WRITE: "yellow",
    Effect.DESTRUCTIVE: "bold red",
    Effect.UNKNOWN: "bold magenta",
}
_KIND_STYLES: Final = {
    Kind.REASONING: "italic",
    Kind.ALARM: "bold red",
    Kind.JOINED: "bold red",
    Kind.PAGED: "cyan",
    Kind.NOT_PAGED: "bold red",
    Kind.UNKNOWN_OUTCOME: "bold yellow",
    Kind.SPAN: "dim",
}
_LONGEST: Final = 2000
_NARROWEST_WHO: Final = 16
_ACKNOWLEDGED_EFFECTS: Final = {Effect.DESTRUCTIVE, Effect.UNKNOWN}


def timeline_view(story: Timeline, *, zone: tzinfo = UTC) -> RenderableType:
    """A heading and a table; text from the trace is shown as it is, its control characters escaped."""
    return Group(_heading(story, zone), _Lines(story.entries, zone), *map(_hole, story.holes))


@dataclass(frozen=True, slots=True)
class _Lines:
    """What happened gets the room: effect and times go below it, or behind it where both are short."""

    entries: Sequence[Entry]
    zone: tzinfo

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[RenderableType]:
        table = Table.grid(padding=(0, 2), expand=False)
        table.add_column(no_wrap=True)
        table.add_column(overflow="fold", max_width=max(_NARROWEST_WHO, options.max_width // 5))
        table.add_column(overflow="fold", ratio=1)
        for entry in self.entries:
            clock, who, what, aside = _cells(entry, self.zone)
            if aside:
                fits = len(what) + len(aside) <= options.max_width // 2
                what = Text("  " if fits else "\n").join((what, aside))
            table.add_row(clock, who, what)
        yield table


def _heading(story: Timeline, zone: tzinfo) -> Text:
    began = _moment(story.entries[0].at_ns, zone)
    heading = Text(f"trace {story.trace_id}  {began:%Y-%m-%d %Z}  ")
    heading.append(plain(story.environment) or "environment unknown", style="bold")
    heading.append(f"  service {plain(story.service) or 'unknown'}")
    if story.environment_claimed and story.environment_claimed != story.environment:
        heading.append(f"  (it says of itself: {plain(story.environment_claimed)})", style="bold yellow")
    return heading


def _hole(hole: Hole) -> Text:
    records = "1 record of this sender is" if hole.records == 1 else f"{hole.records} records of this sender are"
    return Text(f"{records} missing: forewarn gaps --sender {plain(hole.sender)}", "bold yellow")


def _cells(entry: Entry, zone: tzinfo) -> tuple[Text, Text, Text, Text]:
    """Time, who, what; then effect and how it went."""
    style = _KIND_STYLES.get(entry.kind, "")
    match entry.kind:
        case Kind.UNKNOWN_OUTCOME:
            return Text(""), Text("outcome unknown", style), Text(entry.what, style), Text("")
        case Kind.PAGED | Kind.NOT_PAGED:
            who = "paged" if entry.kind is Kind.PAGED else "NOT paged"
            targets = ", ".join(map(_target, entry.told))
            return _clock(entry.at_ns, zone), Text(who, style), Text(targets, style), Text("")
        case Kind.JOINED:
            what = Text(f"{plain(entry.what)} ({_paged_before(entry, zone)})", style)
            return _clock(entry.at_ns, zone), Text(plain(entry.who)), what, Text("")
        case _:
            effect = Text(plain(entry.effect), _EFFECT_STYLES.get(entry.effect, ""))
            what = Text(_what(entry), style)
            aside = Text("  ").join(part for part in (effect, _how(entry, zone)) if part)
            return _clock(entry.at_ns, zone), Text(plain(entry.who)), what, aside


def _what(entry: Entry) -> str:
    if entry.kind is Kind.REASONING:
        return f"reasons: {plain(entry.what)}"
    what = plain(entry.what)
    if entry.error or entry.outcome not in ("", "ok"):
        return f"{what} -> {entry.outcome or 'error'}{': ' if entry.error else ''}{plain(entry.error)}"
    return f"{what} -> {plain(entry.result)}" if entry.result else what


def _how(entry: Entry, zone: tzinfo) -> Text:
    """How long it took; for a call that had to be acknowledged first, when it was on record."""
    parts = []
    if entry.effect in _ACKNOWLEDGED_EFFECTS and entry.recorded_ns:
        parts.append(f"recorded {_clock(entry.recorded_ns, zone)}")
    if entry.acknowledged_after_ms is not None:
        parts.append(f"acknowledged +{_duration(entry.acknowledged_after_ms)}")
        if entry.ran_after_ms is not None and entry.ran_after_ms >= entry.acknowledged_after_ms:
            parts.append("before it ran")
    if entry.took_ms and entry.kind is not Kind.REASONING:
        parts.append(_duration(entry.took_ms) if not parts else f"took {_duration(entry.took_ms)}")
    return Text(", ".join(parts))


def _paged_before(entry: Entry, zone: tzinfo) -> str:
    """An incident that is joined pages nobody anew: who knows of it, and since when."""
    if not entry.told:
        return "no page of it is on record"
    day = _moment(entry.at_ns, zone).date()
    told = []
    for each in entry.told:
        at = _moment(each.at_ns, zone)
        when = f"{at:%H:%M:%S}" if at.date() == day else f"{at:%Y-%m-%d %H:%M:%S}"
        told.append(f"{_target(each)} at {when}")
    return f"paged {', '.join(told)}"


def _target(told: Told) -> str:
    after = f" (+{_duration(told.after_ms)})" if told.after_ms is not None else ""
    reason = f": {plain(told.reason)}" if told.reason else ""
    return f"{plain(told.target)} via {plain(told.target_type)}{after}{reason}"


def _clock(at_ns: int, zone: tzinfo) -> Text:
    return Text(f"{_moment(at_ns, zone):%H:%M:%S}.{at_ns % 1_000_000_000 // 1_000_000:03d}")


def _moment(at_ns: int, zone: tzinfo) -> datetime:
    return datetime.fromtimestamp(at_ns // 1_000_000_000, zone)


def _duration(milliseconds: float) -> str:
    if milliseconds < 10:
        return f"{milliseconds:.1f} ms"
    if milliseconds < 1000:
        return f"{milliseconds:.0f} ms"
    if milliseconds < 120_000:
        return f"{milliseconds / 1000:.1f} s"
    return f"{milliseconds / 60_000:.0f} min"


def plain(text: str) -> str:
    """One line without control characters: what a tool is called must not move the reader's cursor."""
    cut = text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."
    return "".join(char if char.isprintable() else repr(char)[1:-1] for char in cut)
