"""
Slack: an incoming webhook (https://docs.slack.dev/messaging/sending-messages-using-incoming-webhooks) or a bot token
(https://docs.slack.dev/reference/methods/chat.postMessage).

Slack knows no idempotency key: a message whose answer was lost is sent again and may be seen twice. Each says which
incident and delivery it is, so that a person can tell.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final, Literal

import msgspec
from pydantic import BaseModel, ConfigDict, Field, SecretStr, model_validator

from forewarn_alerts.notify import wording
from forewarn_alerts.notify.interface import Answer, Delivered, Message, Page, Rejected, Retry, SecretUrl, TargetType
from forewarn_alerts.notify.replies import Reply, by_status, unless_delivered
from forewarn_alerts.rules.model import Severity

if TYPE_CHECKING:
    from forewarn_alerts.notify.http import Poster

POST_MESSAGE_URL: Final = "https://slack.com/api/chat.postMessage"
HEADER_LIMIT: Final = 150
SECTION_LIMIT: Final = 3000
FIELD_LIMIT: Final = 2000
FIELDS_LIMIT: Final = 10
"""https://docs.slack.dev/reference/block-kit/blocks"""
_TEXT_LIMIT: Final = 3000
_BLOCK_TEXT: Final = 1800
_FIELD_TEXT: Final = 300
_PASSING: Final = frozenset(
    {
        "ratelimited",
        "rate_limited",
        "internal_error",
        "fatal_error",
        "service_unavailable",
        "request_timeout",
        "team_added_to_org",
    }
)
"""Errors of `ok: false` that may pass; every other one (channel_not_found, invalid_auth ...) needs a person."""
_MARKS: Final = {
    Severity.CRITICAL: ":rotating_light:",
    Severity.ERROR: ":red_circle:",
    Severity.WARNING: ":large_orange_circle:",
    Severity.INFO: ":large_blue_circle:",
}


class SlackConfig(BaseModel):
    """`[targets.NAME]` with `type = "slack"`: a webhook's URL, or a bot token and a channel."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    type: Literal["slack"] = "slack"
    webhook_url: SecretUrl | None = None
    token: SecretStr | None = None
    """`xoxb-...` with the scope `chat:write`."""
    channel: str = ""
    api_url: str = Field(default=POST_MESSAGE_URL, pattern=r"^https?://")

    @model_validator(mode="after")
    def _one_way(self) -> SlackConfig:
        if (self.webhook_url is None) == (self.token is None):
            raise ValueError("give either webhook_url, or token and channel")
        if self.token is not None and not self.channel:
            raise ValueError("token needs channel (FOREWARN_SLACK_CHANNEL): the name or id of the channel to post to")
        return self


class Slack:
    """A target that posts one message for each incident."""

    type = TargetType.SLACK

    def __init__(self, name: str, config: SlackConfig, poster: Poster) -> None:
        self.name = name
        self._config = config
        self._poster = poster

    def prepare(self) -> None:
        self._poster.prepare()

    def render(self, page: Page, delivery: str) -> Message:
        message = message_of(page, delivery)
        if self._config.token is not None:
            message["channel"] = self._config.channel
        return Message(msgspec.json.encode(message), {"Content-Type": "application/json; charset=utf-8"})

    def send(self, message: Message) -> Answer:
        if self._config.webhook_url is not None:
            url = self._config.webhook_url.get_secret_value()
            return by_status(self._poster.post(url, message.body, message.headers), delivered=_webhook_ok)
        assert self._config.token is not None
        headers = {**message.headers, "Authorization": f"Bearer {self._config.token.get_secret_value()}"}
        return _api_answer(self._poster.post(self._config.api_url, message.body, headers))

    def close(self) -> None:
        self._poster.close()


def message_of(page: Page, delivery: str) -> dict[str, Any]:
    """A Block Kit message; `text` is what notifications and screen readers show."""
    mark = _MARKS[page.severity]
    blocks: list[dict[str, Any]] = [
        {
            "type": "header",
            "text": {
                "type": "plain_text",
                "text": wording.cut(f"{mark} {wording.headline(page)}", HEADER_LIMIT),
                "emoji": True,
            },
        },
        _section(f"```{_code(wording.call(page, _BLOCK_TEXT))}```"),
        _section(f"*Why:* {escaped(wording.reasoning(page, _BLOCK_TEXT), SECTION_LIMIT - 20)}"),
    ]
    if page.note:
        blocks.append(_section(f"*Note:* {escaped(page.note, SECTION_LIMIT - 20)}"))
    lines = wording.facts(page)
    blocks += [
        {"type": "section", "fields": [_field(*line) for line in lines[i : i + FIELDS_LIMIT]]}
        for i in range(0, len(lines), FIELDS_LIMIT)
    ]
    steps = "\n".join(f"• {escaped(step, _FIELD_TEXT * 2)}" for step in wording.next_steps(page))
    blocks.append(_section(f"*Do:*\n{steps}"))
    note = f"{page.incident} · delivery {delivery} · may repeat after a lost connection"
    blocks.append({"type": "context", "elements": [_text(escaped(note, FIELD_LIMIT))]})
    return {"text": escaped(wording.headline(page), _TEXT_LIMIT), "blocks": blocks}


def escaped(text: str, limit: int) -> str:
    """Text in which nothing is a mention, a link or a command; cut so that no entity is torn."""
    safe = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    if len(safe) <= limit:
        return safe
    kept, room = [], limit - 1
    for character in text:
        piece = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}.get(character, character)
        room -= len(piece)
        if room < 0:
            break
        kept.append(piece)
    return "".join(kept) + "…"


def _section(text: str) -> dict[str, Any]:
    return {"type": "section", "text": _text(text)}


def _field(label: str, text: str) -> dict[str, Any]:
    return _text(f"*{label}*\n{escaped(text, _FIELD_TEXT)}")


def _text(text: str) -> dict[str, Any]:
    """`verbatim`: Slack makes no links of what an agent wrote."""
    return {"type": "mrkdwn", "text": text, "verbatim": True}


def _code(text: str) -> str:
    """Inside a code block nothing may close the block."""
    return escaped(text.replace("```", "`\u200b``"), SECTION_LIMIT - 10)


def _webhook_ok(reply: Reply) -> Delivered | None:
    """The webhook's yes is 200 and the word `ok`; any other 200 comes from something else."""
    return Delivered("200 ok") if reply.status == 200 and reply.text.strip() == "ok" else None


def _api_answer(reply: Reply | Retry) -> Answer:
    if isinstance(reply, Retry):
        return reply
    said = _object(reply.text) if reply.status == 200 else None
    if said is None:
        return unless_delivered(reply)
    if said.get("ok") is True:
        return Delivered("200 ok", f"{said.get('channel', '')}/{said.get('ts', '')}")
    error = str(said.get("error", "no reason given"))
    return Retry(f"answered {error}", reply.retry_after_s) if error in _PASSING else Rejected(f"answered {error}")


def _object(text: str) -> dict[str, Any] | None:
    try:
        said = json.loads(text)
    except ValueError:
        return None
    return said if isinstance(said, dict) and "ok" in said else None
