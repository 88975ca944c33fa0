"""How gaps look on a terminal: per sender who it is and what is missing of it; then what to do."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from rich.console import Console, ConsoleOptions, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from forewarn_collector.gaps import Account, Finding, Life, Verdict
from forewarn_collector.timeline_view import plain

_STYLES: Final = {
    Verdict.LOST: "bold red",
    Verdict.REFUSED: "bold red",
    Verdict.MISSING: "bold magenta",
    Verdict.LATE: "yellow",
    Verdict.SILENT: "bold yellow",
}
_WAITING: Final = {Verdict.LATE, Verdict.SILENT}
_UNEXPLAINED: Final = {Verdict.LATE, Verdict.SILENT, Verdict.MISSING}
_MOST_SHOWN: Final = 20
_ADVICE: Final = {
    Verdict.LOST: "lost: nothing brings them back; why it happened stands beside them (docs/commands.md).",
    Verdict.REFUSED: "refused: a dead letter holds the request as it came; `forewarn doctor` says how many there are.",
    Verdict.MISSING: "missing: ask where `forewarn serve` runs: `forewarn doctor`, and its log, for that time.",
}


@dataclass(frozen=True, slots=True)
class GapsView:
    """Only senders with a finding are shown; text of theirs is shown as it is, its control characters escaped."""

    accounts: Sequence[Account]
    unreadable: int = 0
    """Refused requests of which nobody can say whose they were."""

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[RenderableType]:
        found = [account for account in self.accounts if account.findings]
        for account in found:
            yield _heading(account)
            yield Padding(_table(account.findings), (0, 0, 1, 2))
        for line in _advice(found):
            yield Text(line)
        if self.unreadable and any(each.verdict in _UNEXPLAINED for one in found for each in one.findings):
            refused = _counted(self.unreadable, "refused request")
            yield Text(f"Also {refused} of unknown senders: `forewarn query run rejected-records`.")
        if not self.accounts:
            yield Text("No sender of numbered records was heard of in that time: a longer `--since`?")
        elif not found:
            yield Text(f"No gap: every record of {_counted(len(self.accounts), 'sender')} that is known of is here.")
        gone = sum(account.life is Life.GONE for account in self.accounts)
        if gone:
            yield Text(f"{_counted(gone, 'sender')} ended without saying so; what was left in the spool came later.")


def _heading(account: Account) -> Text:
    heading = Text(plain(account.service) or "service unknown", style="bold")
    told = [
        plain(account.environment) or "environment unknown",
        f"host {plain(account.host) or 'unknown'}",
        *([f"pid {account.pid}"] if account.pid else []),
        f"sender {plain(account.sender)}",
        _life(account),
    ]
    return heading.append("  " + "  ".join(told), style="not bold")


def _life(account: Account) -> str:
    words = {
        Life.ALIVE: "alive",
        Life.STOPPED: "stopped",
        Life.SILENT: "silent",
        Life.GONE: "gone",
        Life.UNKNOWN: "without heartbeat",
    }
    return f"({words[account.life]}, last heard {account.last_received_at:%Y-%m-%d %H:%M:%S} UTC)"


def _table(findings: Sequence[Finding]) -> Table:
    table = Table.grid(padding=(0, 2))
    table.add_column(justify="right", no_wrap=True)
    table.add_column(justify="right", no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold", ratio=1)
    for finding in findings[:_MOST_SHOWN]:
        count = "" if finding.records is None else _counted(finding.records, "record")
        table.add_row(_numbers(finding), count, Text(finding.verdict, _STYLES[finding.verdict]), Text(_why(finding)))
    if len(findings) > _MOST_SHOWN:
        table.add_row("...", "", "", f"{len(findings) - _MOST_SHOWN} more; all of them: --json")
    return table


def _numbers(finding: Finding) -> str:
    if finding.last is None:
        return f"{finding.first}-"
    return str(finding.first) if finding.first == finding.last else f"{finding.first}-{finding.last}"


def _why(finding: Finding) -> str:
    effect = f" (gravest effect: {plain(finding.effect)})" if finding.effect else ""
    letter = f"; dead letter {plain(finding.dead_letter)}" if finding.dead_letter else ""
    return plain(finding.reason) + effect + letter


def _advice(found: Sequence[Account]) -> Iterator[str]:
    waiting = [one for one in found if any(each.verdict in _WAITING for each in one.findings)]
    for host in sorted({plain(one.host) or "unknown" for one in waiting if one.life is not Life.ALIVE}):
        yield f"On host {host}: `forewarn spool drain` sends what a process left there."
    if any(one.life is Life.ALIVE for one in waiting):
        yield "Processes that are alive send what waits by themselves: ask again."
    verdicts = {each.verdict for one in found for each in one.findings}
    yield from (line for verdict, line in _ADVICE.items() if verdict in verdicts)


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
