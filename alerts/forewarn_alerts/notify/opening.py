"""
From the configuration of targets to targets that are ready to send.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, assert_never

from forewarn_alerts.notify.console import ConsoleConfig, ConsoleTarget
from forewarn_alerts.notify.interface import Target
from forewarn_alerts.notify.pagerduty import PagerDuty, PagerDutyConfig
from forewarn_alerts.notify.slack import Slack, SlackConfig
from forewarn_alerts.notify.webhook import Webhook, WebhookConfig

if TYPE_CHECKING:
    from forewarn_alerts.notify.http import Poster

AnyConfig = PagerDutyConfig | SlackConfig | WebhookConfig | ConsoleConfig


def open_target(name: str, config: AnyConfig, *, poster: Poster | None = None) -> Target:
    """Each target has a connection of its own, so that one cannot exhaust another's."""
    # The HTTP client takes 0.2 s to load, and most commands that read the configuration of targets send nothing.
    from forewarn_alerts.notify.http import Poster

    match config:
        case PagerDutyConfig():
            return PagerDuty(name, config, poster or Poster())
        case SlackConfig():
            return Slack(name, config, poster or Poster())
        case WebhookConfig():
            return Webhook(name, config, poster or Poster())
        case ConsoleConfig():
            return ConsoleTarget(name)
        case _:
            assert_never(config)


def open_targets(configs: Mapping[str, AnyConfig]) -> dict[str, Target]:
    return {name: open_target(name, config) for name, config in configs.items()}
