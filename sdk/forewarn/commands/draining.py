"""
Emptying a spool from outside: the road that every agent's records take, walked once, by hand.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field

from rich.console import Console
from rich.progress import Progress

from forewarn.recording.drain import Drain, NotNow
from forewarn.recording.gateway import GatewayTransport
from forewarn.recording.sequences import Numbered
from forewarn.recording.spool import SegmentSpool
from forewarn.settings import Settings


@dataclass(slots=True)
class Emptied:
    """How far it came."""

    arrived: int = 0
    never_taken: list[int] = field(default_factory=list)
    """The numbers of records that the gateway will never take; 0 for one that has none."""
    refusal: str = ""
    """Why the gateway takes nothing now; '' if it did."""

    def refused(self, record: Numbered) -> None:
        self.never_taken.append(record.sequence or 0)


def empty(settings: Settings, *, expected: int, quiet: bool) -> Emptied:
    """Send what dead processes left under the key's environment; stops at the first time that nothing is taken."""
    assert settings.endpoint is not None
    assert settings.key is not None
    emptied = Emptied()
    transport = GatewayTransport(settings.endpoint, settings.key.get_secret_value())
    own = SegmentSpool(
        settings.spool_of(settings.effective_environment),
        secrets.token_hex(8),
        b"",
        max_bytes=settings.spool_max_bytes,
    )
    drain = Drain(own, transport, also=settings.unknown_spool if settings.adopts_unknown else None)
    drain.on_refused = emptied.refused
    with Progress(console=Console(stderr=True), transient=True, disable=quiet) as progress:
        task = progress.add_task("sending", total=expected or None)

        def arrived(records: int) -> None:
            emptied.arrived += records
            progress.advance(task, records)

        drain.on_arrived = arrived
        try:
            while drain.adopt():
                drain.round()
        except NotNow as refusal:
            emptied.refusal = str(refusal) or "no answer"
        finally:
            drain.close()
            transport.close()
    return emptied
