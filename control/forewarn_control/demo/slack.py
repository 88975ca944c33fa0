"""
A Slack incoming webhook as documented, for a local receiver: https://docs.slack.dev/messaging/sending-messages-using-incoming-webhooks
and the limits of https://docs.slack.dev/reference/block-kit/blocks.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any, Final

from forewarn_control.demo.receivers import Answer, Request

PATH: Final = "/services/T00000000/B00000000/local0demo0receiver0only"
_WEBHOOK: Final = re.compile(r"/services/T\w+/B\w+/\w+")
_MAX_BLOCKS: Final = 50
_MAX_TEXT: Final = 40_000
_MAX_BLOCK_ID: Final = 255
_MAX_FIELDS: Final = 10
_TEXT_LIMITS: Final = {"section": 3000, "header": 150, "fields": 2000, "button": 75, "context": 3000}
_ELEMENT_LIMITS: Final = {"actions": 25, "context": 10}
_BLOCKS: Final = {"section", "header", "divider", "context", "actions", "image", "rich_text"}


def answer(request: Request) -> Answer:
    """`ok`, or the word Slack answers with; the reasons say which limit."""
    if not _WEBHOOK.fullmatch(request.path):
        return _refuse(404, "no_service", f"no such webhook: {request.path}")
    if request.method != "POST":
        return _refuse(405, "method_not_allowed", f"{request.method} is not POST")
    try:
        message = json.loads(request.body)
    except ValueError as broken:
        return _refuse(400, "invalid_payload", f"not JSON: {broken}")
    if not isinstance(message, dict):
        return _refuse(400, "invalid_payload", "the message is not an object")
    text, blocks = message.get("text"), message.get("blocks", [])
    if not text and not blocks and not message.get("attachments"):
        return _refuse(400, "no_text", "neither text nor blocks")
    if text is not None and not (isinstance(text, str) and len(text) <= _MAX_TEXT):
        return _refuse(400, "msg_too_long", f"text is longer than {_MAX_TEXT} characters")
    reasons = tuple(_block_faults(blocks))
    if reasons:
        return _refuse(400, "invalid_blocks", *reasons)
    return Answer(200, "text/html", b"ok")


def _block_faults(blocks: object) -> Iterator[str]:
    if not isinstance(blocks, list) or len(blocks) > _MAX_BLOCKS:
        yield f"blocks must be a list of at most {_MAX_BLOCKS}"
        return
    for number, block in enumerate(blocks):
        if not isinstance(block, dict) or block.get("type") not in _BLOCKS:
            yield f"blocks[{number}] has no known type"
        else:
            yield from (f"blocks[{number}]: {fault}" for fault in _faults_of(block))


def _faults_of(block: dict[str, Any]) -> Iterator[str]:
    kind = block["type"]
    if len(str(block.get("block_id", ""))) > _MAX_BLOCK_ID:
        yield f"block_id is longer than {_MAX_BLOCK_ID}"
    if kind == "header" or (kind == "section" and "fields" not in block):
        yield from _text_faults(block.get("text"), kind, plain=kind == "header")
    if kind == "section" and "fields" in block:
        fields = block["fields"]
        if not isinstance(fields, list) or not 0 < len(fields) <= _MAX_FIELDS:
            yield f"fields must be a list of 1 to {_MAX_FIELDS}"
        else:
            yield from (fault for one in fields for fault in _text_faults(one, "fields"))
    if kind in _ELEMENT_LIMITS:
        yield from _element_faults(block.get("elements"), kind)


def _element_faults(elements: object, kind: str) -> Iterator[str]:
    most = _ELEMENT_LIMITS[kind]
    if not isinstance(elements, list) or not 0 < len(elements) <= most:
        yield f"elements must be a list of 1 to {most}"
        return
    for element in elements:
        if not isinstance(element, dict):
            yield "an element is not an object"
        elif kind == "context" and element.get("type") != "image":
            yield from _text_faults(element, kind)
        elif element.get("type") == "button":
            yield from _button_faults(element)


def _button_faults(button: dict[str, Any]) -> Iterator[str]:
    yield from _text_faults(button.get("text"), "button", plain=True)
    for name, most in (("action_id", 255), ("value", 2000), ("url", 3000)):
        if len(str(button.get(name, ""))) > most:
            yield f"{name} of a button is longer than {most}"
    if button.get("style") not in {None, "primary", "danger"}:
        yield "style of a button must be primary or danger"


def _text_faults(text: object, where: str, *, plain: bool = False) -> Iterator[str]:
    allowed = {"plain_text"} if plain else {"plain_text", "mrkdwn"}
    most = _TEXT_LIMITS[where]
    if not isinstance(text, dict) or text.get("type") not in allowed:
        yield f"text of {where} must be an object of type {' or '.join(sorted(allowed))}"
    elif not isinstance(text.get("text"), str) or not 0 < len(text["text"]) <= most:
        yield f"text of {where} must have 1 to {most} characters"


def _refuse(status: int, word: str, *reasons: str) -> Answer:
    return Answer(status, "text/html", word.encode(), reasons)
