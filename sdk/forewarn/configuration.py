"""
What this process is set up with: `configure`, `flush`, `shutdown`, and the one current runtime.

A process that never calls `configure` is set up from its environment at the first call. If that is wrong, calls that
may run at once still run and are spooled; calls that must be acknowledged are refused, with a text that says what is
wrong. A forked child gets a runtime of its own: another sender, another segment, other connections.
"""

from __future__ import annotations

import atexit
import logging
import os
import platform
import random
import secrets
import socket
import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass
from importlib import metadata
from typing import Final, Unpack

from opentelemetry import trace

from forewarn.conventions import (
    DEPLOYMENT_ENVIRONMENT_NAME,
    HOST_NAME,
    PROCESS_PID,
    SDK_NAME,
    SDK_VERSION,
    SERVICE_INSTANCE_ID,
    SERVICE_NAME,
    Effect,
    LossReason,
    environment_name,
)
from forewarn.errors import ConfigurationError
from forewarn.recording.acknowledged import GatewayAcknowledger, Unconfigured
from forewarn.recording.drain import Drain
from forewarn.recording.gateway import GatewayTransport
from forewarn.recording.interface import Acknowledger
from forewarn.recording.sender import Sender
from forewarn.recording.senders import Lifecycle, SelfPortrait, waiting_bytes
from forewarn.recording.spool import SegmentSpool
from forewarn.recording.wire import resource
from forewarn.redaction import use_rules
from forewarn.runtime import Policy, Runtime
from forewarn.settings import Options, Settings, load_settings, settings_without_faults
from forewarn.spans import FullSpans, LightSpans, Spans

_VERSION: Final = metadata.version("forewarn")
_HOW_TO_CONFIGURE: Final = (
    "start `forewarn serve`, and set the FOREWARN_ENDPOINT and FOREWARN_KEY that it prints, or pass them to "
    "forewarn.configure()."
)
_log = logging.getLogger("forewarn")


@dataclass(slots=True)
class _Setup:
    """A runtime and what it was made of."""

    runtime: Runtime
    settings: Settings
    tracer_provider: trace.TracerProvider | None
    spool: SegmentSpool
    sender: Sender | None
    lifecycle: Lifecycle

    def tell_what_waits(self, wrong: str = "") -> None:
        """Records that nobody sends must not be a surprise."""
        missing = self.settings.missing
        unknown = self.settings.unknown_spool
        if wrong:
            _log.error("Forewarn is not set up: %s Records wait in %s.", wrong, self.spool.folder)
        elif missing:
            _log.warning(
                "Forewarn sends nothing: no %s is configured. Records wait in %s. To send them: %s",
                " and no ".join(missing),
                self.spool.folder,
                _HOW_TO_CONFIGURE,
            )
        elif not self.settings.adopts_unknown and unknown != self.spool.folder and any(unknown.glob("*.segment")):
            _log.warning(
                "Forewarn leaves alone what waits in %s: it was recorded without a key or a claimed environment, so "
                "only a process with a production key sends it. Remove the folder if it is not wanted.",
                unknown,
            )

    def flush(self, timeout_s: float) -> bool:
        self.spool.seal()
        if self.sender is None:
            return not self.spool.written()
        return self.sender.flush(timeout_s)

    def end(self, timeout_s: float) -> bool:
        """Say that this sender stops, and send; what that has lost is said, too."""
        until = time.monotonic() + timeout_s
        self.lifecycle.end()
        arrived = self.flush(timeout_s)
        if self.runtime.losses.are_untold:
            self.runtime.losses.tell()
            arrived = self.flush(max(until - time.monotonic(), 0.0)) and arrived
        return arrived

    def close(self, timeout_s: float) -> bool:
        arrived = self.end(timeout_s)
        if self.sender is not None:
            self.sender.stop(timeout_s=1.0)
        self.spool.close()
        self.runtime.acknowledger.close()
        return arrived


_lock = threading.RLock()
_setup: _Setup | None = None
_stand_in: Runtime | None = None
_runtime: Runtime | None = None


def configure(service: str | None = None, **options: Unpack[Options]) -> None:
    """
    Set this process up; every setting may also come from its FOREWARN_ variable or from `forewarn.toml`.

    `service` names this program. `endpoint` and `key` are the gateway's address and the ingest key, which decides the
    environment; `environment` is only a claim. `spool` is the folder for records under way. `ack_timeout` (5 s) bounds
    the wait of a call that must be acknowledged; `unreachable` says what becomes of it outside production when it is
    not ("run", and say so, or "refuse"). `acknowledge_writes` makes `write` calls wait like destructive ones.
    `spans="light"` makes no span of the application's for a call: a third of the time. `tracer_provider` takes another
    provider than OpenTelemetry's global one. Raises ConfigurationError.

    Calling it again replaces the earlier setup, whose records are sent or stay in the spool.
    """
    provider = options.pop("tracer_provider", None)
    settings = load_settings(service, **options)
    with _lock:
        former = _setup
        _install(setup := _set_up(settings, provider))
    setup.tell_what_waits()
    if former is not None:
        former.close(settings.exit_timeout)


def flush(timeout: float = 5.0) -> bool:
    """
    Send now; True once what this process recorded has arrived, False if it has not within `timeout` seconds.

    Of other processes it says nothing: what those of other environments, or without a key, left in the spool waits on.
    """
    return _setup is None or _setup.flush(timeout)


def shutdown(timeout: float = 5.0) -> bool:
    """
    Send what is spooled and let go of everything; True if all of it has arrived. The rest is for the next process.

    Calls made afterwards run unrecorded if they may, and say so; `configure` sets up anew.
    """
    return _setup is None or _setup.close(timeout)


def current() -> Runtime:
    """The runtime of this process, set up from the environment at first use."""
    return _runtime or _first_use()


def use(runtime: Runtime | None) -> None:
    """Put another runtime in place of the process's own, or (None) take it away again."""
    global _stand_in, _runtime  # noqa: PLW0603  the one current runtime
    with _lock:
        _stand_in = runtime
        _runtime = runtime or (_setup.runtime if _setup else None)


def _install(setup: _Setup) -> None:
    global _setup, _runtime  # noqa: PLW0603  the one current runtime
    use_rules(setup.settings.rules)
    # First what a signal handler asks for.
    _runtime = _stand_in or setup.runtime
    _setup = setup
    if setup.sender is not None:
        setup.lifecycle.begin()
        setup.sender.start()


def _first_use() -> Runtime:
    with _lock:
        if _runtime is None:
            wrong = ""
            try:
                settings = load_settings()
            except ConfigurationError as error:
                settings, wrong = settings_without_faults(), str(error)
            setup = _set_up(settings, None, wrong=wrong)
            # A signal handler or finalizer that called a tool in the middle of this was first.
            if _runtime is None:
                _install(setup)
                setup.tell_what_waits(wrong)
        assert _runtime is not None
        return _runtime


def _set_up(settings: Settings, provider: trace.TracerProvider | None, *, wrong: str = "") -> _Setup:
    sender_id = secrets.token_hex(8)
    description = _describe(settings, sender_id)
    environment = settings.effective_environment

    def on_lost(reason: LossReason, sequences: Iterable[int], effect: Effect) -> None:
        runtime.losses.note(reason, sequences, effect)

    spool = SegmentSpool(
        settings.spool_of(environment),
        sender_id,
        description,
        max_bytes=settings.spool_max_bytes,
        sync_effects=settings.sync_effects,
        on_lost=on_lost,
    )
    sender = None
    if settings.endpoint and settings.key:
        transport = GatewayTransport(settings.endpoint, settings.key.get_secret_value())
        also = settings.unknown_spool if settings.adopts_unknown else None
        sender = Sender(Drain(spool, transport, also=also, on_lost=on_lost))
        spool.on_append = sender.notify
    runtime = Runtime(
        policy=Policy(
            environment=environment,
            strict=bool(wrong) or settings.strict or settings.unreachable == "refuse",
            acknowledge_writes=settings.acknowledge_writes,
        ),
        resource=description,
        spans=_spans(settings, provider),
        spool=spool,
        acknowledger=_acknowledger(settings, wrong),
        clock_ns=time.time_ns,
        portrait=SelfPortrait(time.time_ns, os.urandom),
    )
    lifecycle = Lifecycle(
        runtime,
        heartbeat_s=settings.heartbeat if sender else 0,
        waiting_bytes=lambda: waiting_bytes(spool),
    )
    runtime.begins = lifecycle
    if sender is not None:
        sender.pulse = lifecycle.beat
    return _Setup(runtime, settings, provider, spool, sender, lifecycle)


def _spans(settings: Settings, provider: trace.TracerProvider | None) -> Spans:
    # A generator of our own: a program that seeds the global one, for its repeatability, must not repeat our ids.
    random_bytes = random.Random().randbytes  # noqa: S311
    if settings.spans == "light":
        return LightSpans(random_bytes)
    return FullSpans(trace.get_tracer("forewarn", _VERSION, provider), random_bytes)


def _acknowledger(settings: Settings, wrong: str) -> Acknowledger:
    if wrong:
        return Unconfigured("Forewarn is set up wrongly", wrong)
    if settings.endpoint is None or settings.key is None:
        return Unconfigured(f"no {' and no '.join(settings.missing)} is configured", _HOW_TO_CONFIGURE)
    return GatewayAcknowledger(settings.endpoint, settings.key.get_secret_value(), patience_s=settings.ack_timeout)


def _describe(settings: Settings, sender_id: str) -> bytes:
    """The OTLP Resource of every record of this process."""
    claimed = environment_name(settings.environment) or settings.key_environment
    return resource(
        {
            SERVICE_NAME: settings.service,
            SERVICE_INSTANCE_ID: sender_id,
            **({DEPLOYMENT_ENVIRONMENT_NAME: claimed} if claimed else {}),
            HOST_NAME: socket.gethostname() or platform.node(),
            PROCESS_PID: os.getpid(),
            SDK_NAME: "forewarn",
            SDK_VERSION: _VERSION,
        }
    )


def _after_fork_in_child() -> None:
    """The parent's threads, locks and files are not the child's: make everything anew from the same settings."""
    global _lock, _setup, _runtime  # noqa: PLW0603  the one current runtime
    _lock = threading.RLock()
    inherited, _setup = _setup, None
    _runtime = _stand_in
    if inherited is not None:
        inherited.spool.drop_copies()
        _setup = _set_up(inherited.settings, inherited.tracer_provider)
        _runtime = _stand_in or _setup.runtime


def _at_exit() -> None:
    if _setup is not None:
        _setup.end(_setup.settings.exit_timeout)
        _setup.spool.rest()


os.register_at_fork(after_in_child=_after_fork_in_child)
atexit.register(_at_exit)
