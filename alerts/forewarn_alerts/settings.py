"""
Targets, routes and rules: the `[targets.NAME]`, `[notify]` and `rules` of forewarn.toml, and their FOREWARN_ variables.

```toml
rules = ["./rules"]

[targets.oncall-pager]
type = "pagerduty"
routing_key = "..."

[notify]
oncall = ["oncall-pager"]
```
The variables FOREWARN_PAGERDUTY_ROUTING_KEY and FOREWARN_SLACK_WEBHOOK_URL (or FOREWARN_SLACK_TOKEN and
FOREWARN_SLACK_CHANNEL) and FOREWARN_WEBHOOK_URL are shortcuts for targets named `pagerduty`, `slack` and `webhook`.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Final, Self

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, model_validator

from forewarn_alerts.errors import BadConfig
from forewarn_alerts.notify.console import ConsoleConfig
from forewarn_alerts.notify.interface import Target
from forewarn_alerts.notify.opening import open_targets
from forewarn_alerts.notify.pagerduty import DEFAULT_URL, PagerDutyConfig
from forewarn_alerts.notify.slack import SlackConfig
from forewarn_alerts.notify.webhook import WebhookConfig
from forewarn_alerts.pages import Links

CONFIG_NAME: Final = "forewarn.toml"
ONCALL: Final = "oncall"
CONSOLE: Final = "console"
_PREFIX: Final = "FOREWARN_"

TargetConfig = Annotated[PagerDutyConfig | SlackConfig | WebhookConfig | ConsoleConfig, Field(discriminator="type")]
TargetName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$")]


class AlertsConfig(BaseModel):
    """Where pages go. `control` folds these fields into the settings of `forewarn serve`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    targets: dict[TargetName, TargetConfig] = Field(default_factory=dict)
    """Every target by name."""
    notify: dict[str, list[str]] = Field(default_factory=dict)
    """Every route: the targets it tells. `oncall`, where absent, tells every target that is not a console."""
    rules: tuple[Path, ...] = ()
    """Folders or files of rules, besides the rules that Forewarn ships."""
    pagerduty_routing_key: SecretStr | None = None
    """Shortcut for a target `pagerduty`."""
    pagerduty_url: str = DEFAULT_URL
    """Where that target sends, for the EU service region or a local receiver."""
    slack_webhook_url: SecretStr | None = None
    """Shortcut for a target `slack` with an incoming webhook."""
    slack_token: SecretStr | None = None
    """Shortcut for a target `slack` with a bot token; needs `slack_channel`."""
    slack_channel: str = ""
    webhook_url: SecretStr | None = None
    """Shortcut for a target `webhook`."""
    webhook_secret: SecretStr | None = None
    """Signs what that target sends."""
    public_url: str = Field(default="", pattern=r"^(https?://\S+)?$")
    """Where people open a trace in a browser, for links in pages: `{trace_id}` in it is replaced by the id, else
    `/traces/<id>` is added. Empty: pages name the command only."""
    runbook_url: str = ""
    """Put before a rule's runbook where that is a path."""

    @model_validator(mode="after")
    def _routes_lead_somewhere(self) -> Self:
        targets = self.all_targets()
        for route, names in self.notify.items():
            unknown = [name for name in names if name not in targets]
            if unknown or not names:
                lost = ", ".join(unknown) or "nobody"
                known = ", ".join(sorted(targets)) or "none"
                raise ValueError(f"notify.{route} tells {lost}, which is not a target; known targets: {known}")
        return self

    def all_targets(self) -> dict[str, TargetConfig]:
        """Targets with the shortcuts; one console where nothing is configured, so that no page goes nowhere."""
        return self._shortcuts() | self.targets or {CONSOLE: ConsoleConfig()}

    def routes(self) -> dict[str, tuple[str, ...]]:
        """Route -> names of targets."""
        targets = self.all_targets()
        paging = tuple(name for name, config in targets.items() if not isinstance(config, ConsoleConfig))
        return {ONCALL: paging or tuple(targets)} | {route: tuple(names) for route, names in self.notify.items()}

    def open_targets(self) -> dict[str, Target]:
        """Every target, ready to send."""
        return open_targets(self.all_targets())

    def links(self) -> Links:
        return Links(base_url=self.public_url, runbook_url=self.runbook_url)

    def _shortcuts(self) -> dict[str, TargetConfig]:
        found: dict[str, TargetConfig] = {}
        if self.pagerduty_routing_key:
            found["pagerduty"] = PagerDutyConfig(routing_key=self.pagerduty_routing_key, url=self.pagerduty_url)
        if self.slack_webhook_url or self.slack_token:
            found["slack"] = SlackConfig(
                webhook_url=self.slack_webhook_url, token=self.slack_token, channel=self.slack_channel
            )
        if self.webhook_url:
            found["webhook"] = WebhookConfig(url=self.webhook_url, secret=self.webhook_secret)
        return found


def load_config(
    config: Path | None = None, *, rules: tuple[Path, ...] = (), environment: Mapping[str, str] | None = None
) -> AlertsConfig:
    """
    Merge forewarn.toml and the environment (which wins), for commands that run beside `forewarn serve`.

    Without `config` the file of the current folder is read if there is one. Keys of other rooms are left to them.
    """
    file = config or Path(CONFIG_NAME)
    values = _read(file) if config or file.is_file() else {}
    known = AlertsConfig.model_fields
    merged: dict[str, Any] = {name: value for name, value in values.items() if name in known}
    merged |= _from(os.environ if environment is None else environment)
    merged["rules"] = [*_paths(merged.get("rules", ()), file.parent), *rules]
    try:
        return AlertsConfig.model_validate(merged)
    except ValidationError as error:
        raise BadConfig(
            "\n".join(_said(fault) for fault in error.errors(include_url=False, include_input=False))
        ) from None


def _from(environment: Mapping[str, str]) -> dict[str, Any]:
    names = [name for name in AlertsConfig.model_fields if name not in {"targets", "notify"}]
    found = {name: environment.get(f"{_PREFIX}{name.upper()}", "") for name in names}
    return {name: value.split(os.pathsep) if name == "rules" else value for name, value in found.items() if value}


def _paths(value: object, folder: Path) -> list[Path]:
    names = [value] if isinstance(value, str) else value if isinstance(value, list | tuple) else []
    return [folder / Path(str(name)).expanduser() for name in names]


def _read(file: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise BadConfig(f"{file}: cannot be read: {error.strerror}; check the path given with --config") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise BadConfig(f"{file}: not TOML: {error}; mend that line, the format is https://toml.io") from error


def _said(fault: Any) -> str:
    where = ".".join(str(part) for part in fault["loc"])
    said = str(fault["msg"]).removeprefix("Value error, ")
    return f"{where}: {said}" if where else said
