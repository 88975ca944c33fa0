"""
A history: senders, network, gateway, log, sink, store, watcher and deliveries living through what fate has for them.

`History.run` is to be read from top to bottom: some time of trouble, then everything that is still to come comes, then
it is asked whether every promise was kept.
"""

from __future__ import annotations

import traceback
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from tests.simulation.agents import Agent, settings_for
from tests.simulation.disk import Disk
from tests.simulation.fate import Fate
from tests.simulation.network import Network, Pool
from tests.simulation.promises import check
from tests.simulation.server import ROLES, Server
from tests.simulation.state import State
from tests.simulation.truth import Truth
from tests.simulation.virtual import Moment

from forewarn.recording import outgoing
from forewarn_alerts import watcher

_MOST_AGENTS: Final = 6
_OVERDUE_S: Final = 61.0
_LONGEST_RETRY_S: Final = 310.0


@dataclass(slots=True)
class Outcome:
    """What became of one seed."""

    seed: int
    violations: list[str]
    counts: Counter[str]
    timeline: list[str] = field(default_factory=list)


class History:
    """Everything that one seed decides."""

    def __init__(self, seed: int, state: State, folder: Path, *, keeps_timeline: bool = False) -> None:
        self.seed = seed
        self.fate = Fate(seed, keeps_timeline=keeps_timeline)
        self.truth = Truth()
        self.state = state
        self.folder = folder
        self.agents: list[Agent] = []
        Disk.empty(folder)
        Disk.fate = self.fate
        state.begin(self.fate)
        self.server = Server(self.fate, self.truth, state)
        self.network = Pool.network = Network(self.fate, self.truth, self.server)
        self._made = 0
        chance = self.fate.random
        self._spool_max_bytes = chance.choice((1 << 20, 1 << 20, 1 << 20, 20_000, 6_000))
        self._segment_bytes = chance.choice((8 << 20, 4_000, 1_500))
        _set_sizes(
            batch=chance.choice((512, 8, 3)),
            starts=chance.choice((64, 8, 2)),
            chunk=chance.choice((64, 4, 1)),
        )

    def run(self) -> Outcome:
        try:
            self._begin_agent()
            for _ in range(self.fate.random.choice((8, 20, 35))):
                self._act()
            self._settle()
            check(self.truth, self.server, self.folder)
        except Exception as error:  # noqa: BLE001  a seed that breaks the simulation is a finding like any other
            self.truth.broken(f"the history could not go on: {type(error).__name__}: {error}")
            self.fate.tell("".join(traceback.format_exception(error)))
        finally:
            Moment.end()
            Disk.fate = None
        return Outcome(self.seed, self.truth.violations, self.fate.counts, self.fate.timeline)

    def _act(self) -> None:
        """One thing that happens."""
        self.fate.clock.advance(self.fate.random.choice((0.0, 0.01, 0.3, 2.0, 11.0)))
        action = self.fate.random.choices(_ACTIONS, _WEIGHTS)[0]
        action(self)

    # --- what happens -----------------------------------------------------------------------------

    def _begin_agent(self) -> None:
        if len(self._living()) < _MOST_AGENTS:
            self._made += 1
            environment = self.fate.random.choice(("production", "production", "test"))
            settings = settings_for(self.folder, self.state.keys[environment], spool_max_bytes=self._spool_max_bytes)
            self.agents.append(
                Agent(f"agent {self._made}", self.fate, self.truth, settings, segment_bytes=self._segment_bytes)
            )
            self.fate.counts["agents"] += 1

    def _agent_acts(self) -> None:
        if living := self._living():
            agent = self.fate.random.choice(living)
            agent.step()
            if agent.is_done and not agent.is_dead and self.fate.random.random() < 0.3:
                agent.leave()

    def _agent_sends(self) -> None:
        if living := self._living():
            self.fate.random.choice(living).send()

    def _agent_is_killed(self) -> None:
        if (living := self._living()) and self.fate.may("agent dies"):
            self.fate.random.choice(living).kill()

    def _role_acts(self) -> None:
        self.server.step(self.fate.random.choice(ROLES))

    def _role_is_killed(self) -> None:
        name = self.fate.random.choice(("gateway", *ROLES))
        if self.fate.may(f"{name} dies"):
            self.server.kill(name)

    def _machine_dies(self) -> None:
        if self.fate.strikes("machine dies"):
            for name in ("gateway", *ROLES):
                self.server.kill(name)

    def _comes_again(self) -> None:
        self.network.deliver_late()

    def _clock_jumps(self) -> None:
        if self.fate.strikes("clock jumps"):
            self.truth.has_jumped = True
            seconds = self.fate.random.choice((-3600.0, -30.0, 30.0, 3600.0, 90_000.0))
            self.truth.jumped_back_s += max(0.0, -seconds)
            self.fate.clock.jump(seconds)

    def _poison(self) -> None:
        if self.fate.strikes("record is poison"):
            self.server.poison()

    def _disk_suffers(self) -> None:
        """The power of the senders' machine fails, or a disk returns something else than it was given."""
        loses_power = self.fate.strikes("power of a host fails")
        if loses_power or self.fate.strikes("segment is damaged"):
            for agent in self._living():
                agent.kill()
            segments = sorted(self.folder.rglob("*.segment"))
            for path in segments if loses_power else segments[:1]:
                self._damage(path, cut=loses_power)

    def _damage(self, path: Path, *, cut: bool) -> None:
        data = path.read_bytes()
        at = self.fate.random.randrange(len(data) + 1)
        self.truth.damaged_headers += at < 512
        path.write_bytes(data[:at] if cut else data[:at] + b"\x00" * 4 + data[at + 4 :])
        for said, (where, end) in self.truth.spooled.items():
            if where == str(path) and end > at - 4_000 * (not cut):
                self.truth.damaged.add(said)
                self.truth.senders[said.sender].gone_with_its_disk.add(said.sequence)

    def _living(self) -> list[Agent]:
        return [agent for agent in self.agents if not agent.is_dead]

    # --- the end ----------------------------------------------------------------------------------

    def _settle(self) -> None:
        """Nothing goes wrong any more; everything that is still to come, comes."""
        fate = self.fate
        fate.is_calm = True
        fate.tell("-- from here on nothing goes wrong")
        while self.network.late:
            self.network.deliver_late()
        for agent in self._living():
            while not agent.is_done:
                agent.step()
            self._send_all(agent)
            agent.leave()
        for environment in sorted({agent.environment for agent in self.agents}):
            self._collect(environment)
        self._digest()
        for seconds in (_OVERDUE_S, _LONGEST_RETRY_S, self.truth.jumped_back_s, _LONGEST_RETRY_S):
            if seconds == _OVERDUE_S or self.truth.jumped_back_s or self.server.has_pending():
                fate.clock.advance(seconds)
                self._digest()

    def _collect(self, environment: str) -> None:
        """A new process beside the dead, which sends what they left behind."""
        settings = settings_for(self.folder, self.state.keys[environment], spool_max_bytes=1 << 30)
        if not any(settings.spool_of(environment).glob("*.segment")):
            return
        collector = Agent("collector", self.fate, self.truth, settings, segment_bytes=self._segment_bytes)
        # What an adopter finds damaged it puts on record beside it, to be found with the next look.
        for _ in range(3):
            self.fate.clock.advance(11.0)
            self._send_all(collector)
            if not any(path for path in settings.spool_of(environment).glob("*-x*.segment")):
                break
        if self.server.is_bounded:
            self._digest()
        collector.leave()

    def _send_all(self, agent: Agent) -> None:
        """Until the gateway has all of it; it may first have to make room."""
        for _ in range(20):
            if agent.send():
                return
            self._digest()

    def _digest(self) -> None:
        for name in ("sink", "watcher", "deliverer", "sink"):
            self._exhaust(name)

    def _exhaust(self, name: str) -> None:
        quiet = 0
        for _ in range(400):
            quiet = 0 if self.server.step(name) else quiet + 1
            # Its first idle step begins a check of deadlines, the second one makes it.
            if quiet == 1 + (name == "watcher"):
                return
            self.fate.clock.advance(0.6)
        self.truth.broken(f"the {name} never comes to rest")


def _set_sizes(*, batch: int, starts: int, chunk: int) -> None:
    """Small ones, so that a short history crosses their edges."""
    outgoing.BATCH_RECORDS = batch  # type: ignore[misc]
    outgoing.STARTS_RECORDS = starts  # type: ignore[misc]
    watcher.CHUNK_RECORDS = chunk  # type: ignore[misc]


_CHOICES: Final[tuple[tuple[Callable[[History], None], float], ...]] = (
    (History._agent_acts, 10),
    (History._agent_sends, 4),
    (History._role_acts, 13),
    (History._begin_agent, 1),
    (History._agent_is_killed, 0.7),
    (History._role_is_killed, 0.7),
    (History._comes_again, 1),
    (History._clock_jumps, 1),
    (History._machine_dies, 1),
    (History._poison, 1),
    (History._disk_suffers, 1),
)
_ACTIONS: Final = [action for action, _ in _CHOICES]
_WEIGHTS: Final = [weight for _, weight in _CHOICES]
