"""
The roles of the server, each a process that can die by itself: gateway, sink, watcher, deliverer; built and stepped as
they are, on one durable log, one store and one state database.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from sqlalchemy import select
from sqlalchemy.exc import SQLAlchemyError
from tests.simulation import virtual_loop
from tests.simulation.fate import Fate, Killed, Process
from tests.simulation.logs import DurableLog, FailingLog
from tests.simulation.network import Reply, Request, is_taken
from tests.simulation.state import State
from tests.simulation.stores import FailingStore, ModelStore
from tests.simulation.targets import Target
from tests.simulation.truth import POISON_KEY, Truth, records_of

from forewarn import conventions as c
from forewarn_alerts.deliver import Deliverer
from forewarn_alerts.incidents import Incidents
from forewarn_alerts.journal import Journal
from forewarn_alerts.outbox import Outbox
from forewarn_alerts.rehearsal import rehearse
from forewarn_alerts.rules.loading import load_rules
from forewarn_alerts.tables import OUTBOX, DeliveryState
from forewarn_alerts.watcher import Watcher
from forewarn_collector.gateway.app import Gateway
from forewarn_collector.gateway.keys import KeyRing, KeysUnavailable
from forewarn_collector.log.interface import LogError
from forewarn_collector.refusals import BadShare, TooManyRejected
from forewarn_collector.sink import Pace, Sink
from forewarn_collector.store.interface import StoreUnavailable
from forewarn_control.intents import Intents

ROLES: Final = ("sink", "watcher", "deliverer")
MAY_RAISE: Final[Mapping[str, tuple[type[Exception], ...]]] = {
    "gateway": (),
    "sink": (StoreUnavailable, LogError, TooManyRejected),
    "watcher": (LogError, SQLAlchemyError),
    "deliverer": (LogError, SQLAlchemyError),
}
"""What a step of each role may raise by its contract."""
MAY_RAISE_AT_START: Final = (LogError, SQLAlchemyError, KeysUnavailable)
RULES: Final = load_rules()
TARGETS: Final = ("pager", "chat")
_PENDING: Final = select(OUTBOX.c.id).where(OUTBOX.c.state == DeliveryState.PENDING).limit(1)


@dataclass(slots=True)
class Role:
    """One role's life: its process, and what steps it."""

    process: Process
    step: Callable[[], int]
    on_end: Callable[[], None] = field(default=lambda: None)


class Server:
    """All roles of one history."""

    def __init__(self, fate: Fate, truth: Truth, state: State) -> None:
        self.fate = fate
        self.truth = truth
        self.state = state
        chance = fate.random
        max_bytes = chance.choice((None, None, None, 40_000))
        self.is_bounded = max_bytes is not None
        self.log = DurableLog(
            truth,
            partitions=chance.choice((1, 1, 1, 3)),
            max_bytes=max_bytes,
            clock_ns=self._clock_ns,
        )
        for topic in (c.Topic.STARTS, c.Topic.SPANS, c.Topic.EVENTS):
            for group in ("sink", "watcher"):
                if group == "sink" or topic is not c.Topic.EVENTS:
                    self.log.consumer(group, [topic]).close()
        self.store = ModelStore()
        self.targets = {name: Target(name, fate, truth) for name in TARGETS}
        self._pace = Pace(max_records=chance.choice((2, 5, 20_000)))
        self._bad_share = BadShare(least=chance.choice((0, 1, 20)), tries=2)
        self._roles: dict[str, Role] = {}
        self._gateway: tuple[Process, Mapping[str, Any]] | None = None

    def take(self, request: Request, *, hangs_up: bool) -> Reply | None:
        """One request at the gateway's door; None where nobody answers it."""
        if (gateway := self._gateway or self._open_gateway()) is None:
            return None
        process, apps = gateway
        self.fate.doom(process)
        answer = _Answer(request, hangs_up=hangs_up)
        try:
            with self.fate.running(process):
                virtual_loop.run(apps[request.path](answer.scope, answer.receive, answer.send))
        except Killed:
            self._gateway = None
            return None
        except Exception as error:  # noqa: BLE001  the contract: it answers, whatever comes
            self.truth.broken(f"the gateway raised {error!r}")
            return None
        process.steps_to_live = None
        reply = answer.reply()
        self.fate.tell(f"gateway answers {reply.status if reply else 'nothing'} on {request.path}")
        if reply is not None and is_taken(request.path, reply):
            self._note_taken(request)
        return reply

    def step(self, name: str) -> int:
        """One step of a role, which is started if it is not there; how much it did."""
        role = self._roles.get(name) or self._start(name)
        if role is None:
            return 0
        self.fate.doom(role.process)
        try:
            with self.fate.running(role.process):
                done = role.step()
        except Killed:
            self._bury(name)
            return 0
        except MAY_RAISE[name] as trouble:
            self._unclear()
            self.fate.counts[f"{name}: {type(trouble).__name__}"] += 1
            self.fate.tell(f"{name} waits: {type(trouble).__name__}: {trouble}"[:150])
            # It is held back a few times, which is getting on.
            return int(isinstance(trouble, TooManyRejected))
        except Exception as error:  # noqa: BLE001  this is what is looked for
            self.truth.broken(f"a step of the {name} raised {error!r}")
            self._bury(name)
            return 0
        role.process.steps_to_live = None
        if name == "deliverer":
            for target in self.targets.values():
                target.settled()
        if done:
            self.fate.tell(f"{name} has done {done}")
        return done

    def kill(self, name: str) -> None:
        """From outside, between two steps."""
        self.fate.counts[f"{name} died"] += 1
        self.fate.tell(f"† {name} is killed")
        if name == "gateway":
            self._gateway = None
        else:
            self._bury(name)

    def poison(self) -> None:
        """What no gateway of today lets in, and one of yesterday did."""
        self.log.append(c.Topic.SPANS, b"\x0a\xff\xff\xff\x7fno", key=POISON_KEY)

    def has_pending(self) -> bool:
        """Whether somebody is still to be told."""
        with self.state.engine.connect() as connection:
            return connection.execute(_PENDING).first() is not None

    def _clock_ns(self) -> int:
        return self.fate.clock.wall_ns

    def _note_taken(self, request: Request) -> None:
        for said in records_of(request.body):
            self.truth.acknowledged.add(said)
            if said.sender in self.truth.senders:
                self.truth.senders[said.sender].kept.add(said.sequence)

    def _open_gateway(self) -> tuple[Process, Mapping[str, Any]] | None:
        process = Process("gateway", "gateway")
        with self.fate.running(process):
            log = FailingLog(self.log, self.fate, may_be_silent=True)
            gateway = Gateway(log, KeyRing(self.state.engine), clock_ns=self._clock_ns)
            self._gateway = process, {c.TRACES_PATH: gateway, c.INTENTS_PATH: Intents(gateway.admission)}
        return self._gateway

    def _start(self, name: str) -> Role | None:
        process = Process(name, name)
        if self.fate.random.random() < 0.2:
            self.fate.doom(process)
        try:
            with self.fate.running(process):
                step = getattr(self, f"_start_{name}")()
        except Killed:
            self.state.crash()
            return None
        except MAY_RAISE_AT_START as trouble:
            self.fate.tell(f"{name} does not start: {trouble}"[:150])
            return None
        process.steps_to_live = None
        self._roles[name] = Role(process, step)
        return self._roles[name]

    def _start_sink(self) -> Callable[[], int]:
        log = FailingLog(self.log, self.fate)
        store = FailingStore(self.store, self.fate)
        sink = Sink(log, store, clock_ns=self._clock_ns, pace=self._pace, bad_share=self._bad_share)
        return sink.step

    def _start_watcher(self) -> Callable[[], int]:
        routes = {"oncall": list(TARGETS)}
        incidents = Incidents(self.state.engine, routes, clock_ns=self._clock_ns)
        watcher = Watcher(FailingLog(self.log, self.fate), RULES, incidents, clock_ns=self._clock_ns)
        if self.fate.random.random() < 0.1:
            rehearse(RULES, incidents, self.targets.values())
        return watcher.step

    def _start_deliverer(self) -> Callable[[], int]:
        outbox = Outbox(self.state.engine, clock_ns=self._clock_ns, jitter=self.fate.random.random)
        journal = Journal(self.state.engine, FailingLog(self.log, self.fate))
        return Deliverer(outbox, self.targets, journal, clock_ns=self._clock_ns).step

    def _bury(self, name: str) -> None:
        self._roles.pop(name, None)
        self._unclear()
        self.state.crash()

    def _unclear(self) -> None:
        for target in self.targets.values():
            target.died()


class _Answer:
    """One request as ASGI hands it to an application, and what it says to it."""

    def __init__(self, request: Request, *, hangs_up: bool) -> None:
        self.scope = {
            "type": "http",
            "method": "POST",
            "path": request.path,
            "query_string": b"",
            "headers": [(name.lower().encode(), value.encode()) for name, value in request.headers.items()],
        }
        middle = len(request.body) // 2
        self._parts = [request.body[:middle]] if hangs_up else [request.body[:middle], request.body[middle:]]
        self._hangs_up = hangs_up
        self._said: list[Mapping[str, Any]] = []

    async def receive(self) -> dict[str, Any]:
        if not self._parts:
            return {"type": "http.disconnect"}
        part = self._parts.pop(0)
        return {"type": "http.request", "body": part, "more_body": bool(self._parts) or self._hangs_up}

    async def send(self, message: Mapping[str, Any]) -> None:
        self._said.append(message)

    def reply(self) -> Reply | None:
        if not self._said:
            return None
        start, *bodies = self._said
        headers = {name.decode().lower(): value.decode() for name, value in start["headers"]}
        return Reply(start["status"], headers, b"".join(body.get("body", b"") for body in bodies))
