"""
An agent that calls until it is killed, and writes down what happened inside its tools and what became of each call.

Its notes go to a file by one `write` each, so that they survive `kill -9` whatever Forewarn does.
"""

import itertools
import json
import os
import sys

import forewarn

name, notes, calls = sys.argv[1], os.open(sys.argv[2], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600), sys.argv[3:]
forewarn.configure(service="relentless-service", ack_timeout=3.0)


def note(what: str, number: int, tool: str) -> None:
    os.write(notes, (json.dumps({"what": what, "agent": name, "number": number, "tool": tool}) + "\n").encode())


@forewarn.tool(effect="read")
def look(agent: str, number: int) -> int:
    note("inside", number, "look")
    return number


@forewarn.tool(effect="destructive")
def delete(agent: str, number: int) -> int:
    note("inside", number, "delete")
    return number


with forewarn.agent(name):
    for number in range(int(calls[0])) if calls else itertools.count():
        tool = delete if number % 5 == 0 else look
        try:
            tool(name, number)
            note("ran", number, tool.__name__)
        except forewarn.NotRecorded:
            note("refused", number, tool.__name__)
forewarn.flush(timeout=60)
