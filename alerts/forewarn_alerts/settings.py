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

import json
import os
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Annotated, Any, Final, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    model_validator,
)

from forewarn.settings import Settings as AgentSettings
from forewarn_alerts.config_file import CONFIG_NAME, misspelt, nearest, read_config, split_paths
from forewarn_alerts.errors import BadConfig
from forewarn_alerts.notify.console import ConsoleConfig
from forewarn_alerts.notify.interface import Target
from forewarn_alerts.notify.opening import open_targets
from forewarn_alerts.notify.pagerduty import DEFAULT_URL, PagerDutyConfig
from forewarn_alerts.notify.slack import SlackConfig
from forewarn_alerts.notify.webhook import WebhookConfig
from forewarn_alerts.pages import Links

ONCALL: Final = "oncall"
CONSOLE: Final = "console"
_PREFIX: Final = "FOREWARN_"
_TABLES: Final = ("targets", "notify")
_TARGET_FIELDS: Final = {
    str(config.model_fields["type"].default): config.model_fields
    for config in (PagerDutyConfig, SlackConfig, WebhookConfig, ConsoleConfig)
}

Folder = Annotated[Path, AfterValidator(Path.expanduser)]
RulePaths = Annotated[tuple[Folder, ...], BeforeValidator(split_paths)]
TargetConfig = Annotated[PagerDutyConfig | SlackConfig | WebhookConfig | ConsoleConfig, Field(discriminator="type")]
TargetName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$")]


class AlertsConfig(BaseModel):
    """Where pages go. `control` folds these fields into the settings of `forewarn serve`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    targets: dict[TargetName, TargetConfig] = Field(default_factory=dict)
    """Every target by name."""
    notify: dict[str, list[str]] = Field(default_factory=dict)
    """Every route: the targets it tells. `oncall`, where absent, tells every target that is not a console."""
    rules: RulePaths = ()
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
    What `forewarn serve` started here would page with, for commands that run beside it: `rules`, which were given as
    a flag, win over the environment, and that over forewarn.toml.

    Without `config` the file of the current folder is read if there is one. Keys of other rooms are left to them.
    """
    file = config or Path(CONFIG_NAME)
    values = read_config(file) if config or file.is_file() else {}
    mine = AlertsConfig.model_fields
    slips = misspelt(values, mine, others=AgentSettings.model_fields)
    if slips:
        raise BadConfig("\n".join(f"{file}: {name}: {no_such_setting(near)}" for name, near in slips.items()))
    merged = {name: value for name, value in values.items() if name in mine}
    merged |= _from(os.environ if environment is None else environment)
    merged |= {"rules": rules} if rules else {}
    try:
        return AlertsConfig.model_validate(merged)
    except ValidationError as error:
        faults = error.errors(include_url=False, include_input=False)
        raise BadConfig("\n".join(_told(fault) for fault in faults)) from None


def complaint(fault: Mapping[str, Any], known: Collection[str]) -> str:
    """What a fault of the settings says, never with the value. `known`: the settings there are."""
    if fault["type"] != "extra_forbidden":
        return str(fault["msg"]).removeprefix("Value error, ")
    *where, name = fault["loc"]
    return no_such_setting(nearest(str(name), _TARGET_FIELDS.get(str(where[-1]), ()) if where else known))


def no_such_setting(near: str) -> str:
    return f"there is no such setting; did you mean `{near}`?" if near else "there is no such setting"


def _from(environment: Mapping[str, str]) -> dict[str, Any]:
    found = {name: environment.get(f"{_PREFIX}{name.upper()}", "") for name in AlertsConfig.model_fields}
    return {name: _table(name, text) if name in _TABLES else text for name, text in found.items() if text}


def _table(name: str, text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        raise BadConfig(f"{_PREFIX}{name.upper()}: not JSON: {error}", f"or put it in {CONFIG_NAME}") from None


def _told(fault: Any) -> str:
    where = ".".join(str(part) for part in fault["loc"])
    said = complaint(fault, AlertsConfig.model_fields)
    return f"{where}: {said}" if where else said
