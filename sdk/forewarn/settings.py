"""
Every setting of the SDK, once: argument of `configure` > environment variable > key of that name in `forewarn.toml`.

The environment a process works for is read off its ingest key (`fwk_production_...`), because the gateway will trust
nothing else; a claim made beside it can only make the SDK stricter.
"""

from __future__ import annotations

import json
import sys
import tomllib
from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Final, Literal, TypedDict
from urllib.parse import quote, urlsplit

import platformdirs
from opentelemetry.trace import TracerProvider
from pydantic import AliasChoices, Field, SecretStr, ValidationError, field_validator
from pydantic_settings import (
    BaseSettings,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from forewarn.conventions import KEY_PREFIX, Effect, Environment, environment_name, is_production
from forewarn.errors import ConfigurationError
from forewarn.redaction import Rules, compilable

SETTINGS_FILE = "forewarn.toml"


class Options(TypedDict, total=False):
    """The keyword arguments of `forewarn.configure`; each is described on the field of `Settings` it sets."""

    endpoint: str | None
    key: str | None
    environment: str | None
    spool: str | Path | None
    ack_timeout: float | None
    unreachable: Literal["run", "refuse"] | None
    acknowledge_writes: bool | None
    redaction_key: str | None
    redact_patterns: Sequence[str] | None
    redact_off: Sequence[str] | None
    spans: Literal["full", "light"] | None
    tracer_provider: TracerProvider | None


class Settings(BaseSettings):
    """What one process is told, checked and frozen."""

    model_config = SettingsConfigDict(
        env_prefix="FOREWARN_",
        env_ignore_empty=True,
        toml_file=SETTINGS_FILE,
        extra="ignore",
        frozen=True,
        validate_default=False,
        populate_by_name=True,
        hide_input_in_errors=True,
    )

    service: str = Field(
        default=f"unknown_service:{Path(sys.executable).name or 'python'}",
        validation_alias=AliasChoices("FOREWARN_SERVICE", "OTEL_SERVICE_NAME", "service"),
    )
    """FOREWARN_SERVICE, else OTEL_SERVICE_NAME: the name of this program in records and pages."""
    endpoint: str | None = None
    """FOREWARN_ENDPOINT: the gateway's address, `http://127.0.0.1:4318`. Without one, records wait in the spool."""
    key: SecretStr | None = None
    """FOREWARN_KEY: the ingest key. It decides the environment."""
    environment: str | None = None
    """FOREWARN_ENVIRONMENT: what this process says of itself; kept beside what the key says."""
    spool: Path = Field(default_factory=lambda: Path(platformdirs.user_data_dir("forewarn", appauthor=False)) / "spool")
    """FOREWARN_SPOOL: the folder of records that are not delivered yet. A local disk, not a network file system."""
    spool_max_bytes: int = Field(default=512 << 20, ge=1 << 20)
    """FOREWARN_SPOOL_MAX_BYTES: what one environment's spool may hold; beyond it the oldest reads are dropped."""
    sync_effects: Annotated[frozenset[Effect], NoDecode] = frozenset()
    """FOREWARN_SYNC_EFFECTS: effects (`write,destructive`) whose spooled records survive the machine: each waits for
    the disk. Others survive the process."""
    ack_timeout: float = Field(default=5.0, gt=0, le=600)
    """FOREWARN_ACK_TIMEOUT: seconds a destructive or unknown call waits, in all, to be acknowledged as recorded."""
    unreachable: Literal["run", "refuse"] = "run"
    """FOREWARN_UNREACHABLE: outside production, what becomes of such a call when nobody acknowledges it."""
    acknowledge_writes: bool = False
    """FOREWARN_ACKNOWLEDGE_WRITES: treat `write` calls like destructive ones: acknowledged first, or not run."""
    spans: Literal["full", "light"] = "full"
    """FOREWARN_SPANS: `full` makes a call a span of the application, too; `light` only carries the context on."""
    exit_timeout: float = Field(default=2.0, ge=0, le=600)
    """FOREWARN_EXIT_TIMEOUT: seconds the end of the process may wait for records to be sent; the rest stays spooled."""

    heartbeat: int = Field(default=30, ge=0, le=3600)
    """FOREWARN_HEARTBEAT: seconds between two signs of life of a process that sends; 0 for none."""

    @field_validator("sync_effects", mode="before")
    @classmethod
    def _is_a_list(cls, value: object) -> object:
        """A variable names them with commas between."""
        return [one.strip() for one in value.split(",") if one.strip()] if isinstance(value, str) else value

    redaction_key: SecretStr | None = None
    """FOREWARN_REDACTION_KEY: makes the marks of redacted values comparable; by default derived from the ingest key."""
    redact_patterns: Annotated[tuple[str, ...], NoDecode] = ()
    """FOREWARN_REDACT_PATTERNS: regular expressions of what else is redacted, as a JSON list: `["ACCT-[0-9]{8}"]`."""
    redact_off: Annotated[tuple[str, ...], NoDecode] = ()
    """FOREWARN_REDACT_OFF: what is left alone, by the name its mark would bear, as a JSON list: `["session"]`."""

    @field_validator("redact_patterns", "redact_off", mode="before")
    @classmethod
    def _is_json(cls, value: object) -> object:
        """A variable is text, and a pattern may hold every character that could stand between two."""
        try:
            return json.loads(value) if isinstance(value, str) else value
        except ValueError:
            raise ValueError('must be a JSON list of texts, as in ["ACCT-[0-9]{8}"]') from None

    @field_validator("redact_patterns")
    @classmethod
    def _compile(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return compilable(value)

    @field_validator("endpoint")
    @classmethod
    def _is_http(cls, value: str | None) -> str | None:
        if value is None:
            return None
        if not value.startswith(("http://", "https://")):
            raise ValueError("must begin with http:// or https://, as in http://127.0.0.1:4318")
        try:
            parts = urlsplit(value)
            is_address = bool(parts.hostname) and parts.port != 0
        except ValueError:
            is_address = False
        if not is_address:
            raise ValueError("must be an address with a host and a port, as in http://127.0.0.1:4318")
        if "@" in parts.netloc:
            raise ValueError("must hold no user and password; who sends is told by the key alone")
        return value.rstrip("/")

    @field_validator("key")
    @classmethod
    def _fits_a_header(cls, value: SecretStr | None) -> SecretStr | None:
        """A secret file ends with a line break; anything else that no header can carry is a wrong key."""
        text = value.get_secret_value().strip() if value is not None else ""
        if not (text.isascii() and text.isprintable()) or " " in text:
            raise ValueError("must be one line of printable ASCII without spaces, as `forewarn keys create` prints it")
        return SecretStr(text) if text else None

    @classmethod
    def settings_customise_sources(  # noqa: PLR0917  the signature is pydantic-settings' own
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return init_settings, env_settings, TomlConfigSettingsSource(settings_cls)

    @property
    def rules(self) -> Rules:
        """What this process redacts, and the key of its marks."""
        key = self.redaction_key or self.key
        return Rules.of(key.get_secret_value() if key else "", self.redact_patterns, self.redact_off)

    @property
    def key_environment(self) -> str | None:
        """The environment the key's text begins with; None without a key, or with one of another form."""
        return environment_of_key(self.key.get_secret_value()) if self.key else None

    @property
    def effective_environment(self) -> str:
        """The environment of the key, else the claimed one, else ''."""
        return self.key_environment or environment_name(self.environment)

    @property
    def missing(self) -> list[str]:
        """What of `endpoint` and `key` is not set; without both nothing is sent."""
        return [name for name, value in (("endpoint", self.endpoint), ("key", self.key)) if not value]

    @property
    def unknown_spool(self) -> Path:
        """Where records wait that were made without a key and without a claim."""
        return self.spool_of("")

    def spool_of(self, environment: str) -> Path:
        """Each environment's records wait in a folder of their own, whatever its name."""
        return self.spool / (quote(environment, safe="").replace(".", "%2E") or "unknown")

    @property
    def adopts_unknown(self) -> bool:
        """
        Whether this process sends what others recorded without a key and without a claim.

        The gateway stamps on it the environment of this process's key. An unknown environment counts as production
        everywhere, so that under a production key nothing is called what it is not; under another one it might be.
        """
        return self.key_environment == Environment.PRODUCTION

    @property
    def strict(self) -> bool:
        """Whether a call that must be acknowledged is refused when it is not: the stricter of key and claim."""
        claimed_production = self.environment is not None and is_production(self.environment)
        return claimed_production or is_production(self.effective_environment)


class _Unfiled(Settings):
    """What the environment alone says, where the file cannot be read."""

    model_config = SettingsConfigDict(toml_file=None)


_UNREADABLE: Final = (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError)
"""What reading the file raises if it is not text, not TOML, or not ours to read."""


def environment_of_key(text: str) -> str | None:
    """`production` of `fwk_production_<id>_<secret>`; None for a text of any other form."""
    prefix, *parts = text.split("_")
    return environment_name(parts[0]) or None if prefix == KEY_PREFIX and len(parts) == 3 else None


def load_settings(service: str | None = None, **given: Any) -> Settings:
    """Read every source; a wrong value raises ConfigurationError that names it, never its content."""
    for name in given.keys() - Settings.model_fields.keys():
        nearest = get_close_matches(name, ["service", *Options.__annotations__], n=1, cutoff=0.0)
        raise ConfigurationError(f"forewarn.configure() has no option {name!r}; did you mean {nearest[0]!r}?")
    given = {name: value for name, value in {"service": service, **given}.items() if value is not None}
    try:
        return Settings(**given)
    except ValidationError as error:
        faults = "; ".join(f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}" for fault in error.errors())
        raise ConfigurationError(
            f"Wrong setting: {faults}. "
            f"Look at the arguments of forewarn.configure(), the FOREWARN_* variables and {SETTINGS_FILE}."
        ) from None
    except _UNREADABLE as error:
        what = "is not valid TOML" if isinstance(error, tomllib.TOMLDecodeError) else "cannot be read"
        raise ConfigurationError(f"{Path(SETTINGS_FILE).absolute()} {what}: {error}") from None


def settings_without_faults() -> Settings:
    """What is right of the environment and the file, with defaults for what is not: better than none, to spool with."""
    try:
        return _without_faults(Settings)
    except _UNREADABLE:
        return _without_faults(_Unfiled)


def _without_faults(kind: type[Settings]) -> Settings:
    try:
        return kind()
    except ValidationError as error:
        faulty = {str(fault["loc"][0]).removeprefix("FOREWARN_").lower() for fault in error.errors()}
        defaults = {name: field.get_default(call_default_factory=True) for name, field in kind.model_fields.items()}
        return kind(**{name: default for name, default in defaults.items() if name in faulty})
