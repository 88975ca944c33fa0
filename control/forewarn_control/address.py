"""An address to listen on, as people write it: `127.0.0.1:4318`, `[::1]:0`, `localhost:8123`."""

from __future__ import annotations

import errno
import socket
from dataclasses import dataclass

from forewarn_control.errors import CannotServe

_BACKLOG = 512


@dataclass(frozen=True, slots=True)
class Address:
    """Host and port; port 0 asks for any free one."""

    host: str
    port: int

    @classmethod
    def parse(cls, text: str) -> Address:
        """Raise ValueError, in words for the person who wrote it."""
        host, colon, port = text.strip().rpartition(":")
        host = host.removeprefix("[").removesuffix("]")
        if not colon or not host or not port.isdecimal() or int(port) > 65535:
            msg = f"{text!r} is not an address; write HOST:PORT, for example 127.0.0.1:4318 (port 0: any free port)"
            raise ValueError(msg)
        return cls(host, int(port))

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def listen(address: Address, *, flag: str) -> socket.socket:
    """A listening socket there; raise CannotServe naming `flag`, the option that moves it."""
    try:
        family, kind, protocol, _, target = socket.getaddrinfo(
            address.host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, kind, protocol)
    except OSError as fault:
        raise _cannot_listen(address, flag, fault) from fault
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(target)
        listener.listen(_BACKLOG)
    except OSError as fault:
        listener.close()
        raise _cannot_listen(address, flag, fault) from fault
    return listener


def bound(listener: socket.socket) -> Address:
    """Where it really listens, for a port that was 0."""
    host, port = listener.getsockname()[:2]
    return Address(str(host), int(port))


def _cannot_listen(address: Address, flag: str, fault: OSError) -> CannotServe:
    if fault.errno == errno.EADDRINUSE:
        return CannotServe(
            f"{address} is in use by another process",
            f"see which: `lsof -i :{address.port}` or `ss -ltnp 'sport = :{address.port}'`; "
            f"another `forewarn serve` may be running already; or take a free port: {flag} {address.host}:0",
        )
    if fault.errno in {errno.EACCES, errno.EPERM}:
        return CannotServe(f"no permission to listen on {address}", f"choose a port above 1023: {flag} HOST:PORT")
    return CannotServe(
        f"cannot listen on {address}: {fault.strerror or fault}",
        f"choose an address of this machine, for example {flag} 127.0.0.1:0",
    )
