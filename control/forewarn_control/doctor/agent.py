"""The doctor's look from an agent's side: is there an endpoint, does it take the key, is the spool sound."""

from __future__ import annotations

import os
import time
import tomllib
from collections.abc import Callable, Iterator
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from pathlib import Path
from typing import Final

from forewarn.conventions import INTENTS_PATH
from forewarn.errors import ConfigurationError
from forewarn.recording.claims import SEGMENT_SUFFIX
from forewarn.recording.segments import SegmentReader
from forewarn.settings import SETTINGS_FILE, Settings, load_settings
from forewarn_alerts.config_file import misspelt
from forewarn_control.doctor.asking import ask
from forewarn_control.doctor.check import Check, fault, ok, skipped, warning

_CLOCKS_DIFFER_S: Final = 5.0
_BACKLOG: Final = 64 << 20
_EXPORTS: Final = "set FOREWARN_ENDPOINT and FOREWARN_KEY as `forewarn serve` printed them, where the agent runs"


def agent(*, clock: Callable[[], float] = time.time) -> Iterator[Check]:
    """What an agent started here, now, would be told and would meet."""
    try:
        settings = load_settings()
    except ConfigurationError as error:
        yield fault("agent settings", str(error), "mend the setting it names")
        return
    yield from _misspelt(Path(SETTINGS_FILE))
    if settings.endpoint:
        yield from _endpoint(settings.endpoint, settings, clock)
    else:
        why = "no endpoint is set here, so this shell starts no agent that records"
        yield skipped("agent endpoint", why, _EXPORTS)
    yield spool(settings.spool)


def _misspelt(file: Path) -> Iterator[Check]:
    """The SDK reads over what it does not know, for the file is shared; so a slip of the pen is silent there."""
    values = tomllib.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    for name, near in misspelt(values, Settings.model_fields).items():
        yield warning("agent settings", f"{file}: nothing reads the key {name}", f"did you mean `{near}`?")


def spool(folder: Path) -> Check:
    """Whether records can be spooled, and how much waits there."""
    place = next((one for one in (folder, *folder.parents) if one.exists()), folder)
    if not place.is_dir() or not os.access(place, os.W_OK | os.X_OK):
        return fault("agent spool", f"{folder} cannot be written to", "set FOREWARN_SPOOL to a folder on a local disk")
    waiting = {path: size for path in sorted(folder.rglob(f"*{SEGMENT_SUFFIX}")) if (size := _unsent(path))}
    found = f"{folder}: {sum(waiting.values())} bytes wait in {len(waiting)} segments"
    if sum(waiting.values()) > _BACKLOG:
        return warning(
            "agent spool", found, "see that the endpoint is reachable and takes the key; then it drains itself"
        )
    return ok("agent spool", found)


def _endpoint(url: str, settings: Settings, clock: Callable[[], float]) -> Iterator[Check]:
    reply = ask("GET", f"{url}/healthz")
    if not reply.status:
        do = "start `forewarn serve` there, or correct FOREWARN_ENDPOINT"
        yield fault("agent endpoint", f"{url} cannot be reached: {reply.text}", do, reached=False)
        return
    if reply.status != HTTPStatus.OK:
        do = "FOREWARN_ENDPOINT must be the address that `forewarn serve` printed"
        yield fault("agent endpoint", f"{url}/healthz answered {reply.status}: no Forewarn gateway", do, reached=True)
        return
    yield ok("agent endpoint", url, reached=True)
    yield _clocks(reply.headers.get("date", ""), clock())
    yield _key(url, settings)


def _clocks(date: str, now: float) -> Check:
    try:
        difference = abs(now - parsedate_to_datetime(date).timestamp())
    except (ValueError, TypeError):
        return skipped("clocks", "the gateway did not say what time it has")
    if difference > _CLOCKS_DIFFER_S:
        found = f"{difference:.0f} s apart from the gateway's"
        return warning("clocks", found, "synchronise both with NTP, or timelines will be out of order")
    return ok("clocks", "agree with the gateway's to a second")


def _key(url: str, settings: Settings) -> Check:
    """An empty intent is refused as such if the key is good, and for the key if it is not: nothing is recorded."""
    if settings.key is None:
        return fault("agent key", "FOREWARN_KEY is not set", _EXPORTS)
    headers = {"authorization": f"Bearer {settings.key.get_secret_value()}", "content-type": "application/x-protobuf"}
    reply = ask("POST", url + INTENTS_PATH, headers=headers)
    if reply.status == HTTPStatus.BAD_REQUEST:
        return _claim(settings)
    if reply.status == HTTPStatus.UNAUTHORIZED:
        do = "make one: forewarn keys create --environment production"
        return fault("agent key", "the gateway refuses the key: wrong or revoked", do)
    said = f"{INTENTS_PATH} answered {reply.status or reply.text}"
    return fault(
        "agent key", f"{said}: destructive calls will not be acknowledged", "look at the log of `forewarn serve`"
    )


def _claim(settings: Settings) -> Check:
    environment = settings.key_environment
    if settings.environment and settings.environment != environment:
        found = f"accepted for {environment}, while FOREWARN_ENVIRONMENT claims {settings.environment}"
        return warning("agent key", found, "unset FOREWARN_ENVIRONMENT or use a key of that environment")
    return ok("agent key", f"accepted; it records for {environment}")


def _unsent(segment: Path) -> int:
    """Bytes behind what has arrived; 0 for a segment that has gone meanwhile or never held anything."""
    try:
        reader = SegmentReader.open(segment)
    except FileNotFoundError:
        return 0
    if reader is None:
        return 0
    try:
        return reader.size() - reader.acknowledged
    finally:
        reader.close()
