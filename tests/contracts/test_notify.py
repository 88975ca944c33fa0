"""
What every HTTP target promises, on one table of answers and faults.
"""

from __future__ import annotations

import json
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from forewarn_alerts.notify.http import Poster, Timeouts
from forewarn_alerts.notify.interface import Answer, Delivered, Page, Rejected, Retry, Target
from forewarn_alerts.notify.opening import AnyConfig, open_target
from forewarn_alerts.notify.pagerduty import PagerDutyConfig
from forewarn_alerts.notify.samples import sample_page
from forewarn_alerts.notify.slack import SlackConfig
from forewarn_alerts.notify.webhook import WebhookConfig

SECRET = "hush-hush-hush-hush-hush-hush-32"
NOW = 1_790_000_000.0
PATIENCE = Timeouts(read_s=0.3, attempt_s=0.6)


@dataclass(frozen=True)
class Kind:
    """A target, and the answer with which it takes a page."""

    config: Callable[[str], AnyConfig]
    status: int
    body: bytes


KINDS = {
    "pagerduty": Kind(
        lambda url: PagerDutyConfig(routing_key=SECRET, url=url), 202, b'{"status":"success","dedup_key":"the-key"}'
    ),
    "slack-webhook": Kind(lambda url: SlackConfig(webhook_url=f"{url}/{SECRET}"), 200, b"ok"),
    "slack-token": Kind(
        lambda url: SlackConfig(token=SECRET, channel="#agents", api_url=url),
        200,
        b'{"ok":true,"channel":"C1","ts":"1.2"}',
    ),
    "webhook": Kind(lambda url: WebhookConfig(url=f"{url}/?token={SECRET}", secret=SECRET), 200, b""),
}

Behaviour = Callable[[socket.socket], None]


@dataclass
class Peer:
    """A server that answers its first request in a given way; and keeps what it was asked."""

    listener: socket.socket
    behaviour: Behaviour
    requests: list[bytes] = field(default_factory=list)
    stop: threading.Event = field(default_factory=threading.Event)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.listener.getsockname()[1]}"

    def run(self) -> None:
        while not self.stop.is_set():
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            with connection:
                connection.settimeout(5)
                self.requests.append(_read(connection))
                try:
                    self.behaviour(connection)
                except OSError:
                    continue


def _read(connection: socket.socket) -> bytes:
    received = b""
    while b"\r\n\r\n" not in received:
        received += connection.recv(65536)
    head, _, body = received.partition(b"\r\n\r\n")
    length = next(int(line[16:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length: "))
    while len(body) < length:
        body += connection.recv(65536)
    return head + b"\r\n\r\n" + body


def answering(status: int, body: bytes = b"", *headers: str) -> Behaviour:
    lines = [f"HTTP/1.1 {status} X", f"Content-Length: {len(body)}", "Connection: close", *headers, "", ""]
    return lambda connection: connection.sendall("\r\n".join(lines).encode() + body)


def reset(connection: socket.socket) -> None:
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def garbage(connection: socket.socket) -> None:
    connection.sendall(b"220 smtp.example.com ESMTP\r\n")


def cut_short(connection: socket.socket) -> None:
    connection.sendall(b"HTTP/1.1 500 X\r\nContent-Length: 100\r\n\r\nhalf")


def silence(connection: socket.socket) -> None:
    connection.recv(1)


def drip(first: bytes) -> Behaviour:
    def behave(connection: socket.socket) -> None:
        connection.sendall(first)
        deadline = time.monotonic() + 5
        waiting = threading.Event()
        while time.monotonic() < deadline:
            connection.sendall(b"x")
            waiting.wait(0.05)

    return behave


@pytest.fixture
def peer() -> Iterator[Callable[[Behaviour], Peer]]:
    opened: list[tuple[Peer, threading.Thread]] = []

    def start(behaviour: Behaviour) -> Peer:
        listener = socket.create_server(("127.0.0.1", 0))
        served = Peer(listener, behaviour)
        thread = threading.Thread(target=served.run)
        thread.start()
        opened.append((served, thread))
        return served

    yield start
    for served, thread in opened:
        served.stop.set()
        served.listener.shutdown(socket.SHUT_RDWR)
        served.listener.close()
        thread.join(10)


@pytest.fixture(params=list(KINDS))
def kind(request: pytest.FixtureRequest) -> Kind:
    return KINDS[request.param]


PAGE: Page = sample_page("inc-1", at_ns=int(NOW) * 1_000_000_000)


def send(kind: Kind, url: str, page: Page = PAGE) -> Answer:
    target: Target = open_target("it", kind.config(url), poster=Poster(timeouts=PATIENCE, clock=lambda: NOW))
    try:
        return target.send(target.render(page, "inc-1.it.1"))
    finally:
        target.close()


def test_the_documented_yes_is_delivered(kind: Kind, peer: Any) -> None:
    """
    One request, one page.
    """
    served = peer(answering(kind.status, kind.body))

    answer = send(kind, served.url)

    assert isinstance(answer, Delivered)
    assert len(served.requests) == 1


@pytest.mark.parametrize("status", [400, 401, 403, 404, 405, 410, 413, 422])
def test_a_refusal_is_never_repeated(kind: Kind, peer: Any, status: int) -> None:
    """
    The same page would be refused again; a person must look. The answer's text is kept for that person.
    """
    answer = send(kind, peer(answering(status, b"invalid key")).url)

    assert answer == Rejected(f"answered {status}: invalid key")


@pytest.mark.parametrize("status", [301, 302, 307, 408, 425, 429, 500, 502, 503, 504, 529])
def test_what_may_pass_is_tried_again(kind: Kind, peer: Any, status: int) -> None:
    """
    Overload, outages and detours are not the page's fault. Redirects are not followed: a secret stays where it is.
    """
    served = peer(answering(status, b"", f"Location: http://127.0.0.1:{1}/"))

    answer = send(kind, served.url)

    assert answer == Retry(f"answered {status}", None)
    assert len(served.requests) == 1


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("7", 7.0),
        ("0", 0.0),
        ("Mon, 21 Sep 2026 14:13:30 GMT", 10.0),
        ("Mon, 21 Sep 2020 14:13:30 GMT", 0.0),
        ("999999", 3600.0),
        ("soon", None),
        ("nan", None),
        ("-5", 0.0),
    ],
)
@pytest.mark.parametrize("status", [429, 503])
def test_a_target_that_names_a_time_gets_it(
    kind: Kind, peer: Any, *, status: int, header: str, seconds: float | None
) -> None:
    """
    Retry-After holds seconds or a date; nonsense is as good as none, and nobody is made to wait for more than an hour.
    """
    answer = send(kind, peer(answering(status, b"", f"Retry-After: {header}")).url)

    assert answer == Retry(f"answered {status}", seconds)


@pytest.mark.parametrize(
    "fault",
    [reset, garbage, cut_short, silence, drip(b"HTTP/1.1 "), drip(b"HTTP/1.1 500 X\r\n\r\n")],
    ids=["reset", "garbage", "cut short", "silence", "drips its head", "drips its body"],
)
def test_a_broken_connection_is_tried_again_within_a_bounded_time(kind: Kind, peer: Any, fault: Behaviour) -> None:
    """
    Whatever the peer does, the attempt ends, and the page is kept.
    """
    served = peer(fault)
    began = time.monotonic()

    answer = send(kind, served.url)

    assert isinstance(answer, Retry)
    assert time.monotonic() - began < 3


def test_a_closed_door_is_tried_again(kind: Kind) -> None:
    """
    Nobody listens there now.
    """
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]

    assert send(kind, f"http://127.0.0.1:{port}") == Retry("cannot be reached: ConnectError")


@pytest.mark.parametrize("name", ["pagerduty", "slack-webhook", "slack-token"])
def test_a_yes_from_something_else_clears_nothing(name: str, peer: Any) -> None:
    """
    A captive portal answers 200 to everything; the page is not taken for delivered.
    """
    answer = send(KINDS[name], peer(answering(200, b"<html>Welcome to the hotel</html>")).url)

    assert isinstance(answer, Retry)


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        ("ratelimited", Retry("answered ratelimited", 3.0)),
        ("internal_error", Retry("answered internal_error", 3.0)),
        ("channel_not_found", Rejected("answered channel_not_found")),
        ("invalid_auth", Rejected("answered invalid_auth")),
    ],
)
def test_slack_says_no_with_status_200(peer: Any, error: str, expected: Answer) -> None:
    """
    `ok: false` counts, and its word decides.
    """
    body = json.dumps({"ok": False, "error": error}).encode()

    assert send(KINDS["slack-token"], peer(answering(200, body, "Retry-After: 3")).url) == expected


def test_every_attempt_is_the_same_request(kind: Kind, peer: Any) -> None:
    """
    The receiver can tell a repeat: nothing but a signature's time may differ.
    """
    served = peer(answering(503))

    for _ in range(2):
        send(kind, served.url)

    first, second = (request.partition(b"\r\n\r\n")[2] for request in served.requests)
    assert first == second
    assert b"inc-1" in first


def test_no_secret_is_in_an_answer_or_a_representation(kind: Kind, peer: Any) -> None:
    """
    Answers are logged and stored; secrets are not.
    """
    config = kind.config("http://127.0.0.1:1")
    told = [repr(config), str(config), repr(send(kind, "http://127.0.0.1:1"))]
    target = open_target("it", config, poster=Poster(timeouts=PATIENCE))
    told.append(repr(target.render(PAGE, "d")))
    target.close()

    assert [text for text in told if SECRET in text] == []


@pytest.mark.parametrize("text", ["", "x" * 200_000, "\u202e\x00\x1b[31m<!channel> & ```", "\U0001f600" * 20_000])
def test_any_text_can_be_sent(kind: Kind, peer: Any, text: str) -> None:
    """
    What an agent wrote is cut and escaped, never a reason to fail.
    """
    page = replace(
        PAGE, summary=text, arguments=text, reasoning=text, note=text, tool=text, agent_path=text, service=text
    )
    served = peer(answering(kind.status, kind.body))

    assert isinstance(send(kind, served.url, page), Delivered)
    assert len(served.requests[0]) < 512 << 10
