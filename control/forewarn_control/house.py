"""
Every role of Forewarn in one process, as a library: what `forewarn serve` runs.

`House.start` is to be read from top to bottom: it opens what the roles stand on, then the roles, then the doors.
Stopping goes the other way: no more requests, each role finishes what it has in hand, what is due is delivered, files
are closed. A start that fails half-way closes what it had opened.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Final

from prometheus_client import CollectorRegistry
from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from forewarn.conventions import Environment
from forewarn_alerts.bell import Bell
from forewarn_alerts.deliver import Deliverer
from forewarn_alerts.incidents import Incidents
from forewarn_alerts.journal import Journal
from forewarn_alerts.metrics import AlertsMetrics
from forewarn_alerts.notify.opening import open_targets
from forewarn_alerts.outbox import Outbox
from forewarn_alerts.pages import Links
from forewarn_alerts.rehearsal import rehearse
from forewarn_alerts.rules.engine import RuleSet
from forewarn_alerts.rules.faults import RuleFaults
from forewarn_alerts.rules.loading import load_rules
from forewarn_alerts.watcher import Watcher
from forewarn_collector.data_folder import DataFolder, DataFolderError
from forewarn_collector.gateway.app import Gateway
from forewarn_collector.gateway.keys import KeyRing, KeysUnavailable
from forewarn_collector.gateway.metrics import GatewayMetrics
from forewarn_collector.gateway.otlp_grpc import TraceService
from forewarn_collector.gateway.redaction import Redactor, redaction_key
from forewarn_collector.log.interface import Log, LogError
from forewarn_collector.log.sqlite import SqliteLog
from forewarn_collector.refusals import SinkError
from forewarn_collector.sink import Sink
from forewarn_collector.state import open_state
from forewarn_collector.store.interface import OtherVersion, Store, StoreError
from forewarn_collector.tools.loading import ToolFaults, load_tools
from forewarn_collector.tools.tool_list import ToolList
from forewarn_control.app import Front
from forewarn_control.connections import DoorMetrics
from forewarn_control.doors import Doors
from forewarn_control.errors import BadSettings, CannotServe
from forewarn_control.folder import Endpoints, reader_credentials
from forewarn_control.key_events import key_event
from forewarn_control.roles import Roles
from forewarn_control.settings import ServeSettings
from forewarn_control.trace_page import TracePage

logger = logging.getLogger(__name__)

FIRST_KEYS: Final = (Environment.PRODUCTION, Environment.DEVELOPMENT)
_SETTLE_S: Final = 3.0
"""How long a stop may go on with what is due. What is left is durable, and goes on with the next start."""


@dataclass(frozen=True, slots=True)
class Serving:
    """What a started house can say of itself."""

    endpoints: Endpoints
    first_keys: Mapping[str, str]
    """Environment -> key, of the keys that were made because there were none; their only appearance."""
    rules: int


@dataclass(frozen=True, slots=True)
class Parts:
    """What the roles stand on."""

    log: Log
    store: Store
    state: Engine
    rules: RuleSet
    tools: ToolList
    links: Links


class House:
    """One process's Forewarn. `finished` is set when a role died; a signal handler may set it, too."""

    def __init__(self, settings: ServeSettings, *, clock_ns: Callable[[], int] = time.time_ns) -> None:
        self._settings = settings
        self._clock_ns = clock_ns
        self.data = settings.data.absolute()
        self._opened = ExitStack()
        self.finished = threading.Event()
        self.roles = Roles(self.finished.set)
        self.registry = CollectorRegistry()

    def start(self) -> Serving:
        """Return once every door answers; raise ControlError with what to do, and nothing left open."""
        with _reported(), ExitStack() as opened:
            serving = self._start(opened)
            self._opened = opened.pop_all()
        return serving

    def stop(self) -> None:
        """Return once all is finished and closed."""
        self._opened.close()

    def renew_certificate(self) -> None:
        """Read the certificate again; new connections see it. One that cannot be used is told of, and not taken."""
        self._doors.renew_certificate()

    def _start(self, opened: ExitStack) -> Serving:
        settings = self._settings
        rules = load_rules(settings.rules, routes=settings.routes())
        tools = load_tools(settings.tools) if settings.tools else ToolList()
        folder = opened.enter_context(DataFolder.open(settings.data))
        doors = opened.enter_context(Doors.listening(settings, self.roles, DoorMetrics(self.registry)))
        self._doors = doors
        reader = reader_credentials(folder.endpoints)

        self.log: Log = SqliteLog(
            folder.log, max_bytes=settings.log_max_size, retention=settings.log_retention, clock_ns=self._clock_ns
        )
        opened.callback(self.log.close)
        state = open_state(folder.state_url)
        opened.callback(state.dispose)
        # The engine takes a second to load: whoever is to be told of a wrong setting is told before.
        from forewarn_collector.store.clickhouse import EmbeddedStore
        from forewarn_collector.store.facade import Facade

        store = EmbeddedStore(folder.store, retention=settings.retention, tools=tools)
        opened.callback(store.close)
        store.migrate()

        links = Links(base_url=settings.public_url or doors.http_url, runbook_url=settings.runbook_url)
        self._start_roles(opened, Parts(self.log, store, state, rules, tools, links))
        keys = KeyRing(state, on_record=key_event)
        gateway = Gateway(
            self.log,
            keys,
            limits=settings.limits(),
            redactor=Redactor(
                redaction_key(folder.redaction_key), patterns=settings.redact_patterns, off=settings.redact_off
            ),
            clock_ns=self._clock_ns,
            metrics=GatewayMetrics(self.registry),
            checks={"roles": self._check_roles},
        )
        opened.callback(gateway.close)
        facade = Facade(store, user=reader.user, password=reader.password)
        opened.callback(facade.close)
        opened.callback(doors.close, gateway.admission.draining)
        doors.open(Front(gateway, TracePage(store, reader)), facade, TraceService(gateway.admission))
        endpoints = Endpoints(doors.http_url, doors.grpc_url, doors.store_url, reader)
        endpoints.write(folder.endpoints)
        return Serving(endpoints, _first_keys(keys), len(rules.rules))

    def _start_roles(self, opened: ExitStack, parts: Parts) -> None:
        """From here on the log's records move. Each role can be stepped by hand once its thread is gone."""
        settings, log, clock_ns, bell = self._settings, parts.log, self._clock_ns, Bell()
        metrics = AlertsMetrics(self.registry)
        sink = Sink(log, parts.store, clock_ns=clock_ns, registry=self.registry)
        opened.callback(sink.close)
        incidents = Incidents(parts.state, settings.routes(), clock_ns=clock_ns, links=parts.links)
        watcher = Watcher(log, parts.rules, incidents, clock_ns=clock_ns, tools=parts.tools, bell=bell, metrics=metrics)
        opened.callback(watcher.close)
        targets = open_targets(settings.all_targets())
        outbox, journal = Outbox(parts.state, clock_ns=clock_ns), Journal(parts.state, log)
        deliverer = Deliverer(outbox, targets, journal, clock_ns=clock_ns, bell=bell, metrics=metrics)
        opened.callback(deliverer.close)
        rehearse(parts.rules, incidents, targets.values())
        opened.callback(self._settle, watcher.step, deliverer.step, sink.step)
        opened.callback(self.roles.stop, "sink", "watcher", "deliverer")
        self.roles.start("sink", sink.run)
        self.roles.start("watcher", watcher.run)
        self.roles.start("deliverer", deliverer.run)

    def _settle(self, *steps: Callable[[], int]) -> None:
        """With nobody else at work: bring what has been taken to its end, as far as a moment reaches."""
        deadline = time.monotonic() + _SETTLE_S
        try:
            for step in () if self.roles.died() else steps:
                while step() and time.monotonic() < deadline:
                    continue
        except (StoreError, LogError, SinkError, SQLAlchemyError) as fault:
            logger.warning("left for the next start: %s", fault)

    def _check_roles(self) -> str | None:
        died = self.roles.died()
        return "; ".join(f"{role} died: {why}" for role, why in died.items()) or None


@contextmanager
def _reported() -> Iterator[None]:
    """Faults of every room in this room's words: the exit status, and what to do."""
    try:
        yield
    except RuleFaults as faults:
        do = "mend the rules, then try them: forewarn rules check"
        raise BadSettings([str(fault) for fault in faults.faults], do) from faults
    except ToolFaults as faults:
        do = "mend the tool list, then try it: forewarn tools check"
        raise BadSettings([str(fault) for fault in faults.faults], do) from faults
    except (DataFolderError, OtherVersion) as fault:
        raise CannotServe(str(fault)) from fault
    except (LogError, StoreError, KeysUnavailable, SQLAlchemyError) as fault:
        raise CannotServe(str(fault), "look at the data folder; `forewarn doctor` says what it finds there") from fault


def _first_keys(keys: KeyRing) -> dict[str, str]:
    """Made last, when nothing can go wrong any more: their texts are shown once."""
    if keys.list():
        return {}
    return {str(environment): keys.create(environment, "first start").text for environment in FIRST_KEYS}
