"""
The settings of `forewarn serve`, each with its three names: a flag, a FOREWARN_ variable, a key of forewarn.toml.

Precedence: flag, environment, file, default. Every fault of all of them is reported at once (`BadSettings`). Relative
paths in the file are relative to the file, so it means the same from every folder.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, Final, Self

from platformdirs import user_data_path
from pydantic import BeforeValidator, ByteSize, Field, ValidationError, field_validator, model_validator
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
)

from forewarn.redaction import compilable
from forewarn.settings import Settings as AgentSettings
from forewarn_alerts.config_file import CONFIG_NAME, nearest, read_config, relative_to
from forewarn_alerts.errors import BadConfig
from forewarn_alerts.rules.durations import parse_duration
from forewarn_alerts.settings import AlertsConfig, Folder, RulePaths, complaint
from forewarn_collector.gateway.limits import Limits
from forewarn_control.address import Address
from forewarn_control.errors import BadSettings

DEFAULT: Final = "default"
GRPC_PORT: Final = 4317
_BODIES_IN_FLIGHT: Final = 4
"""A key has half of a lane, start records have a lane half as wide: the largest body must fit in there."""
_PREFIX: Final = "FOREWARN_"
_PATHS: Final = frozenset({"data", "tls_cert", "tls_key", "tools"})
_OF_COMMANDS: Final = ("config", "store", "store_user", "store_password")
"""What commands read besides."""


def _duration(value: object) -> object:
    return parse_duration(value) if isinstance(value, str) else value


def _address(text: object) -> object:
    return Address.parse(text) if isinstance(text, str) else text


Listen = Annotated[Address, BeforeValidator(_address), NoDecode]
Duration = Annotated[timedelta, BeforeValidator(_duration)]


class ServeSettings(BaseSettings, AlertsConfig):
    """What `forewarn serve` runs with: what is below, and whom to page (`AlertsConfig`)."""

    model_config = SettingsConfigDict(env_prefix=_PREFIX, frozen=True, extra="forbid", env_ignore_empty=True)

    data: Folder = Field(default_factory=lambda: user_data_path("forewarn", appauthor=False))
    """The data folder: log, store and state. One process owns it."""
    http: Listen = Address("127.0.0.1", 4318)
    """Where agents send: OTLP over HTTP, and the control API. Port 0: any free port."""
    grpc: Listen | None = None
    """Where agents send OTLP over gRPC: where `http` is, at port 4317 (any free one, where `http` asks for that)."""
    store_http: Listen = Address("127.0.0.1", 8123)
    """Where readers ask: the store as ClickHouse's own HTTP interface, read-only."""
    rules: Annotated[RulePaths, NoDecode] = ()
    """Folders or files of rules, besides the rules that Forewarn ships."""
    tools: Folder | None = None
    """The tool list: what the tools of other instrumentations do. `docs/senders.md` has its form."""
    retention: Duration = timedelta(days=30)
    """How long the store keeps spans and events."""
    log_retention: Duration = timedelta(days=7)
    """How long the log keeps records that every consumer has read."""
    log_max_size: Annotated[ByteSize, Field(ge=16 << 20)] = ByteSize(4 << 30)
    """What the log may hold before senders are told to come back later: `4GiB`."""
    max_body: Annotated[ByteSize, Field(ge=1 << 20)] = ByteSize(64 << 20)
    """The largest request that is taken, after decompression."""
    max_rate: Annotated[float, Field(gt=0)] = 2_000.0
    """Requests a second of one key; start records are counted apart from bulk."""
    max_concurrent: Annotated[int, Field(ge=1)] = 256
    """Requests of one key that are in the gateway at once; start records are counted apart from bulk."""
    max_in_flight: Annotated[ByteSize, Field(ge=16 << 20)] = ByteSize(256 << 20)
    """Bytes of all bodies in the gateway at once; a key has half of them, start records half as many besides."""
    max_connections: Annotated[int, Field(ge=16)] = 2_048
    """Connections to one door; beyond, the one that was idle for longest is closed."""
    tls_cert: Folder | None = None
    """The certificate chain (PEM) of every door; read again on SIGHUP."""
    tls_key: Folder | None = None
    """Its private key (PEM)."""
    redact_patterns: tuple[str, ...] = ()
    """Regular expressions of what the gateway redacts besides; with any, it reads every text of every span."""
    redact_off: tuple[str, ...] = ()
    """What the gateway leaves alone, by the name its mark would bear: `session`, `jwt`; `all` for everything."""
    drain: Duration = timedelta(0)
    """How long `/readyz` says that the process stops before its doors close: what a load balancer needs to notice."""

    @field_validator("redact_patterns")
    @classmethod
    def _compile(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return compilable(value)

    @model_validator(mode="after")
    def _fit_together(self) -> Self:
        if (self.tls_cert is None) != (self.tls_key is None):
            raise ValueError("tls_cert and tls_key belong together: give both, or neither")
        if self.max_in_flight < _BODIES_IN_FLIGHT * self.max_body:
            raise ValueError(f"max_in_flight must have room for {_BODIES_IN_FLIGHT} bodies of max_body")
        return self

    def grpc_address(self) -> Address:
        """Where gRPC listens."""
        return self.grpc or Address(self.http.host, GRPC_PORT if self.http.port else 0)

    def limits(self) -> Limits:
        """What the gateway takes."""
        return Limits(
            body=self.max_body,
            requests_per_second=self.max_rate,
            concurrent=self.max_concurrent,
            in_flight_bytes=self.max_in_flight,
        )

    @classmethod
    def settings_customise_sources(  # noqa: PLR0917 -- the signature is pydantic's
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Only what is passed in: `load` below is the one place that knows the sources and their order."""
        del settings_cls, env_settings, dotenv_settings, file_secret_settings
        return (init_settings,)


_IN_FILE: Final = (*ServeSettings.model_fields, *AgentSettings.model_fields)
"""Every key that forewarn.toml may hold."""


@dataclass(frozen=True, slots=True)
class Loaded:
    """The settings, where each came from (a flag, a variable, a file, or `default`), and the file that was read."""

    settings: ServeSettings
    origins: Mapping[str, str]
    config: Path | None


def load(flags: Mapping[str, Any] | None = None, *, config: Path | None = None, folder: Path | None = None) -> Loaded:
    """
    Merge the sources; raise BadSettings with every fault.

    `flags`: what the command line gave, None for an option left out. `config`: a file that must exist; without it
    forewarn.toml of `folder` (the current one) is read if there is one.
    """
    file = config or _found(folder or Path.cwd())
    from_file = _read(file) if file else {}
    from_flags = {name: value for name, value in (flags or {}).items() if value is not None}
    from_environment = _environment()
    merged = from_file | from_environment | from_flags
    origins = dict.fromkeys(ServeSettings.model_fields, DEFAULT)
    origins |= dict.fromkeys(from_file, str(file))
    origins |= {name: variable(name) for name in from_environment}
    origins |= {name: flag(name) for name in from_flags}
    try:
        settings = ServeSettings(**merged)
    except ValidationError as invalid:
        raise BadSettings(_faults(invalid, origins), _do(file)) from invalid
    return Loaded(settings, origins, file)


def flag(name: str) -> str:
    """The option's name on the command line."""
    return f"--{name.replace('_', '-')}"


def variable(name: str) -> str:
    """The setting's environment variable."""
    return f"{_PREFIX}{name.upper()}"


def unknown_variables() -> dict[str, str]:
    """FOREWARN_ variables that nothing reads -> the nearest name that something does, or ''."""
    known = {variable(name) for name in (*ServeSettings.model_fields, *AgentSettings.model_fields, *_OF_COMMANDS)}
    strange = sorted(name for name in os.environ if name.startswith(_PREFIX) and name not in known)
    return {name: nearest(name, known) for name in strange}


def without_own() -> dict[str, str]:
    """This process's environment without any FOREWARN_ variable, for a child that must not inherit them."""
    return {name: value for name, value in os.environ.items() if not name.startswith(_PREFIX)}


def agent_origins(config: Path | None) -> dict[str, str]:
    """Where each setting of an agent started here would come from, as `Loaded.origins` says it for `serve`."""
    in_file = tomllib.loads(config.read_text(encoding="utf-8")) if config else {}
    return {
        name: variable(name) if os.environ.get(variable(name)) else str(config) if name in in_file else DEFAULT
        for name in AgentSettings.model_fields
    }


def _found(folder: Path) -> Path | None:
    file = folder / CONFIG_NAME
    return file if file.is_file() else None


def _environment() -> dict[str, Any]:
    try:
        return EnvSettingsSource(ServeSettings)()
    except SettingsError as broken:
        cause = broken.__cause__ or broken
        raise BadSettings([f"{broken}: {cause}"], "write that variable as JSON, or put it in forewarn.toml") from broken


def _read(file: Path) -> dict[str, Any]:
    try:
        values = read_config(file)
    except BadConfig as fault:
        raise BadSettings([fault.problem], fault.do) from fault
    for name in _PATHS & values.keys():
        values[name] = relative_to(file.parent, values[name])
    # The SDK reads its own keys from a file of the same name; they are no faults here.
    own = ServeSettings.model_fields.keys()
    return {name: value for name, value in values.items() if name in own or name not in AgentSettings.model_fields}


def _faults(invalid: ValidationError, origins: Mapping[str, str]) -> list[str]:
    faults = []
    for error in invalid.errors(include_url=False, include_input=False):
        said = complaint(error, _IN_FILE)
        if not error["loc"]:
            faults.append(said)
            continue
        where = ".".join(str(part) for part in error["loc"])
        faults.append(f"{where} (from {origins.get(str(error['loc'][0]), DEFAULT)}): {said}")
    return faults


def _do(file: Path | None) -> str:
    return f"mend {file or 'the flag or the variable'}; `forewarn serve --help` lists every setting"
