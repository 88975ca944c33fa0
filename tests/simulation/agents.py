"""
Agents: processes with the SDK as `configure` sets it up, each going through a program of tool calls step by step.

The SDK's sending thread is not started; whoever steps the agent makes the thread's attempts, one at a time.
"""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Callable, Generator, Iterator
from functools import cache
from pathlib import Path
from typing import Any, Final

from opentelemetry.proto.trace.v1.trace_pb2 import Span
from tests.simulation import tools, virtual_loop
from tests.simulation.disk import Disk, bury
from tests.simulation.fate import Fate, Killed, Process
from tests.simulation.network import NEVER_TAKEN
from tests.simulation.stores import UNSTORABLE
from tests.simulation.tools import Here, ToolFailed
from tests.simulation.truth import SenderLife, Truth, said_by

import forewarn
from forewarn import configuration
from forewarn.errors import NotRecorded, Refusal
from forewarn.recording.interface import FrameKind, Spool
from forewarn.settings import Settings

STRICT: Final = {"production"}
SERVICE: Final = "janitor"
_NEEDS_ACKNOWLEDGEMENT: Final = {"destructive", "unknown"}


class Agent:
    """One process's life."""

    def __init__(self, name: str, fate: Fate, truth: Truth, settings: Settings, *, segment_bytes: int) -> None:
        self.process = Process(name, "agent")
        self.environment = str(settings.key_environment)
        self.folder = settings.spool_of(self.environment)
        self._fate = fate
        self._truth = truth
        self._context = contextvars.Context()
        self._program: Generator[None, None, None] | None = None
        self._life = SenderLife(self.environment)
        self._alive(lambda: self._begin(settings, segment_bytes))

    @property
    def is_dead(self) -> bool:
        return self.process.is_dead

    @property
    def is_done(self) -> bool:
        return self.is_dead or self._program is None

    def step(self) -> None:
        """Go on with the program."""
        if self._program is not None:
            self._alive(self._go_on)

    def send(self) -> bool:
        """One attempt of the sending thread; whether the gateway took all there was."""
        return self._alive(lambda: not self._setup.sender._attempt()) or False  # type: ignore[union-attr]

    def leave(self) -> None:
        """The end of a process that ends in order."""
        self._alive(self._leave)
        if not self.is_dead:
            self._fate.tell(f"{self.process.name} leaves")
            self._bury()

    def kill(self) -> None:
        self._fate.counts["agent died"] += 1
        self._fate.tell(f"† {self.process.name} is killed")
        self._died()

    def tool_runs(self, effect: str, trace_id: bytes, span_id: bytes) -> None:
        """Asked from inside of a tool: is it on record, and what happens now?"""
        fate, key = self._fate, (trace_id, span_id)
        fate.point("at the start of a tool")
        fate.tell(f"{self.process.name} runs a {effect} tool {span_id.hex()}")
        self._truth.ran[key] = effect
        fate.counts[f"tool runs: {effect}"] += 1
        if effect in _NEEDS_ACKNOWLEDGEMENT and self.environment in STRICT:
            if key not in self._truth.starts_in_log:
                self._truth.broken(f"a {effect} tool runs without an acknowledged record: {span_id.hex()}")
        elif key not in self._spool.starts and key not in self._truth.starts_in_log:
            self._truth.broken(f"a {effect} tool runs before its record was spooled: {span_id.hex()}")
        fate.clock.advance(fate.random.choice((0.0, 0.01, 0.5)))
        fate.point("inside of a tool")
        if fate.strikes("tool fails"):
            raise ToolFailed

    def _begin(self, settings: Settings, segment_bytes: int) -> None:
        self._setup = setup = configuration._set_up(settings, None)
        setup.spool.segment_bytes = segment_bytes
        self.sender = setup.spool.sender
        self._truth.senders[self.sender] = self._life
        setup.spool.on_append = None
        setup.runtime.next_sequence = self._next_sequence
        setup.runtime.spool = self._spool = WatchedSpool(setup.spool, self.sender, self._life, self._truth)
        note = setup.runtime.losses.note

        def noted(reason: Any, sequences: Any, effect: Any) -> None:
            lost = tuple(sequences)
            self._life.noted_lost.update(lost)
            self._fate.counts["records noted as lost"] += len(lost)
            note(reason, lost, effect)

        setup.runtime.losses.note = noted  # type: ignore[method-assign]
        setup.lifecycle.begin()
        self._program = self._context.run(self._calls)

    def _next_sequence(self) -> int:
        self._fate.point("taking a number")
        self._life.issued += 1
        return self._life.issued

    def _leave(self) -> None:
        self._setup.lifecycle.end()
        self._setup.spool.seal()
        self.send()
        self._setup.spool.rest()
        self._life.has_left_in_order = True
        self._life.has_untold_losses = self._setup.runtime.losses.are_untold

    def _go_on(self) -> None:
        assert self._program is not None
        try:
            self._context.run(next, self._program)
        except StopIteration:
            self._program = None

    def _alive(self, act: Callable[[], Any]) -> Any:
        """Act as this process; what it raises but its death is a fault."""
        if self.is_dead:
            return None
        self._fate.doom(self.process)
        Here.agent = self
        if hasattr(self, "_setup"):
            configuration.use(self._setup.runtime)
        try:
            with self._fate.running(self.process):
                done = act()
        except Killed:
            self._died()
            return None
        except Exception as error:  # noqa: BLE001  this is what is looked for
            self._truth.broken(f"{self.process.name} got {error!r} from the SDK")
            self._died()
            return None
        # It may have died where another task of it heard of it.
        if self.process.is_dead:
            self._died()
            return None
        self.process.steps_to_live = None
        return done

    def _died(self) -> None:
        self._bury()
        life = self._life
        life.cut_off = set(range(1, life.issued + 1)) - life.kept - life.noted_lost

    def _bury(self) -> None:
        """Let the dead finish what they cannot: their `finally` blocks run against seams that let nothing through."""
        self.process.is_dead = True
        with self._fate.running(self.process):
            try:
                if self._program is not None:
                    self._context.run(self._program.close)
            except Killed:
                self._program = None
        bury(self.process)

    # --- the program ------------------------------------------------------------------------------

    def _calls(self) -> Generator[None, None, None]:
        chance = self._fate.random
        with forewarn.agent("janitor", "tidy up"):
            for _ in range(chance.randrange(1, 9)):
                if chance.random() < 0.2:
                    forewarn.reason("customers looks stale.")
                yield
                yield from self._call()

    def _call(self) -> Generator[None, None, None]:
        chance = self._fate.random
        kind = chance.random()
        try:
            if kind < 0.7:
                chance.choice(tools.PLAIN)(self._argument())
            elif kind < 0.85:
                yield from self._stream(iter(chance.choice(tools.STREAMS)(self._argument())))
            else:
                virtual_loop.run(self._several())
        except NotRecorded:
            self._fate.counts["calls refused"] += 1
        except (Refusal, ToolFailed):
            return

    @staticmethod
    def _stream(items: Iterator[str]) -> Generator[None, None, None]:
        """A call that is under way while others act."""
        for _ in items:
            yield

    async def _several(self) -> None:
        """Calls that one agent makes at once."""
        chance = self._fate.random
        calls = [chance.choice(tools.COROUTINES)(self._argument()) for _ in range(chance.randrange(1, 4))]
        done = await asyncio.gather(*calls, self._streamed(), return_exceptions=True)
        for error in done:
            if isinstance(error, BaseException):
                raise error

    async def _streamed(self) -> None:
        async for _ in tools.stream_rows(self._argument()):
            await asyncio.sleep(0)

    def _argument(self) -> str:
        chance = self._fate.random
        if self._fate.strikes("record is unstorable"):
            return UNSTORABLE
        if self._fate.strikes("body is never taken"):
            return NEVER_TAKEN.decode()
        return chance.choice(("customers", "orders", "x" * chance.choice((10, 400, 3000))))


class WatchedSpool:
    """The spool, and beside it what it promised."""

    def __init__(self, spool: Spool, sender: str, life: SenderLife, truth: Truth) -> None:
        self.starts: set[tuple[bytes, bytes]] = set()
        """Spans whose start it was given."""
        self._spool = spool
        self._sender = sender
        self._life = life
        self._truth = truth

    def append(self, kind: FrameKind, record: bytes, *more: Any) -> None:
        said = said_by(Span.FromString(record), self._sender)
        Disk.last_write = "", 0
        try:
            self._spool.append(kind, record, *more)
        # It is lost, and the runtime notes it; the call goes on.
        except Exception:
            self.starts.add((said.trace, said.span))
            raise
        self.starts.add((said.trace, said.span))
        self._life.kept.add(said.sequence)
        self._truth.spooled[said] = Disk.last_write

    def close(self) -> None:
        self._spool.close()


@cache
def _checked(folder: Path, key: str, service: str) -> Settings:
    return Settings(endpoint="http://gateway", key=key, spool=folder, service=service)  # type: ignore[arg-type]


def settings_for(folder: Path, key: str, *, spool_max_bytes: int) -> Settings:
    """As the environment of a process would say it; the bound may be smaller than a person may set it."""
    return _checked(folder, key, SERVICE).model_copy(update={"spool_max_bytes": spool_max_bytes})
