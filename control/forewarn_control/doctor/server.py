"""The doctor's look at the serving side of this machine: the data folder, the process that owns it, its store."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from http import HTTPStatus
from pathlib import Path
from urllib.parse import urlsplit

from urllib3.util import make_headers

from forewarn_collector.data_folder import DataFolder, InUse, NotWritable, OtherVersion
from forewarn_control.doctor.asking import TIMEOUT_S, ask
from forewarn_control.doctor.check import Check, fault, ok, skipped, warning
from forewarn_control.folder import Endpoints

_START = "start it: forewarn serve"


def data_folder(path: Path) -> Check:
    """Whether it is there, ours, and whose."""
    if not path.exists():
        return skipped("data folder", f"{path} does not exist yet; the first `forewarn serve` makes it", _START)
    try:
        DataFolder.open(path).close()
    except InUse as owned:
        return ok("data folder", f"{path}, owned by process {owned.pid or 'unknown'}")
    except (NotWritable, OtherVersion) as wrong:
        return fault("data folder", *_halves(str(wrong)))
    return ok("data folder", f"{path}, nobody serves it now")


def serving(path: Path, certificate: Path | None = None) -> Iterator[Check]:
    """Whether the process that last served the folder still does, with every role, and answers readers."""
    endpoints = Endpoints.read(DataFolder(path.absolute()).endpoints)
    if endpoints is None:
        yield skipped("serve", f"nobody has served {path} yet", _START)
        return
    reply = ask("GET", f"{endpoints.http}/readyz", certificate=certificate)
    if not reply.status:
        found = f"{endpoints.http} cannot be reached: {reply.text}"
        yield fault("serve", found, f"it is not running; {_START}", reached=False)
        return
    if reply.status == HTTPStatus.OK:
        yield ok("serve", f"ready at {endpoints.http}", reached=True)
    else:
        found = f"{endpoints.http}/readyz answered {reply.status}: {_unready(reply.text)}"
        yield fault("serve", found, "look at its log; stop it and start it again", reached=True)
    if endpoints.grpc:
        yield by_grpc(endpoints.grpc)
    yield store(endpoints, certificate)


def by_grpc(url: str) -> Check:
    """Whether the door for OTLP over gRPC is open."""
    parts = urlsplit(url)
    try:
        socket.create_connection((parts.hostname or "", parts.port or 0), TIMEOUT_S).close()
    except OSError as trouble:
        return fault("grpc", f"{url} cannot be reached: {trouble.strerror or trouble}", _START, reached=False)
    return ok("grpc", f"open at {url}", reached=True)


def store(endpoints: Endpoints, certificate: Path | None) -> Check:
    """Whether a reader's question is answered, and by which engine."""
    headers = make_headers(basic_auth=f"{endpoints.reader.user}:{endpoints.reader.password}")
    reply = ask("GET", f"{endpoints.store}/?query=SELECT+version()", headers=headers, certificate=certificate)
    if not reply.status:
        return fault("store", f"{endpoints.store} cannot be reached: {reply.text}", _START, reached=False)
    if reply.status != HTTPStatus.OK:
        found = f"{endpoints.store} answered {reply.status}: {reply.text[:200]}"
        return fault("store", found, "is something else listening there? start `forewarn serve` anew", reached=True)
    version = reply.text.strip()
    if not version[:1].isdecimal():
        return warning(
            "store", f"{endpoints.store} answers, but not with a version", "is it a ClickHouse?", reached=True
        )
    return ok("store", f"{endpoints.store}, ClickHouse {version}", reached=True)


def _unready(text: str) -> str:
    """The checks that are not content."""
    try:
        checks = json.loads(text)["checks"]
        return "; ".join(f"{name}: {said}" for name, said in checks.items() if said != "ok")
    except (ValueError, KeyError, TypeError, AttributeError):
        return text[:200]


def _halves(text: str) -> tuple[str, str]:
    """The fault, and what to do: the data folder's errors say both, with a colon between."""
    found, _, do = text.rpartition(": ")
    return found or text, do
