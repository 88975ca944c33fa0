"""
A gateway behind its real doors in a process of its own, for tests that attack it: the log and the keys of a real one,
no store, so that what it weighs is what its senders make of it. Run as a script: folder, connections.
"""

from __future__ import annotations

import json
import logging
import sys
import threading
from pathlib import Path

from prometheus_client import CollectorRegistry

from forewarn_collector.gateway.app import Gateway
from forewarn_collector.gateway.keys import KeyRing
from forewarn_collector.gateway.limits import Limits
from forewarn_collector.gateway.metrics import GatewayMetrics
from forewarn_collector.gateway.otlp_grpc import TraceService, options
from forewarn_collector.log.sqlite import SqliteLog
from forewarn_collector.state import open_state
from forewarn_control.address import Address, listen
from forewarn_control.connections import Crowd, DoorMetrics, make_room
from forewarn_control.servers import GrpcServer, HttpServer

MAX_BODY = 8 << 20


def main(folder: Path, most: int) -> None:
    """Serve until standard input ends; say where, and with which keys, as one line of JSON."""
    logging.getLogger("uvicorn").setLevel(logging.ERROR)
    make_room(most, doors=2)
    registry = CollectorRegistry()
    log = SqliteLog(folder / "log.sqlite3")
    keys = KeyRing(open_state(f"sqlite:///{folder / 'state.sqlite3'}"))
    limits = Limits(body=MAX_BODY, in_flight_bytes=4 * MAX_BODY)
    gateway = Gateway(log, keys, limits=limits, metrics=GatewayMetrics(registry))
    listener = listen(Address("127.0.0.1", 0), flag="--http")
    http = HttpServer(gateway, listener, Crowd("http", most, DoorMetrics(registry)))
    service = TraceService(gateway.admission)
    by_grpc = GrpcServer("grpc", service, Address("127.0.0.1", 0), options=options(MAX_BODY, connections=most))
    stop = threading.Event()
    threads = [threading.Thread(target=door.run, args=(stop,)) for door in (http, by_grpc)]
    for thread in threads:
        thread.start()
    for door in (http, by_grpc):
        assert door.started.wait(20)
    good, revoked = keys.create("production"), keys.create("production")
    keys.revoke(revoked.info.id)
    said = {"http": listener.getsockname()[1], "grpc": by_grpc.address.port, "key": good.text, "revoked": revoked.text}
    print(json.dumps(said), flush=True)
    sys.stdin.read()
    stop.set()
    for thread in threads:
        thread.join()
    gateway.close()
    log.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
