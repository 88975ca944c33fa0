"""An agent that calls and calls, and writes down, one JSON line each, what became of every call."""

import json
import sys

import forewarn

name, calls = sys.argv[1], int(sys.argv[2])
forewarn.configure(service=f"{name}-service", ack_timeout=20)


@forewarn.tool(effect="read")
def look(agent: str, number: int) -> int:
    return number


@forewarn.tool(effect="destructive")
def delete(agent: str, number: int) -> int:
    return number


with forewarn.agent(name):
    for number in range(calls):
        tool = delete if number % 10 == 0 else look
        try:
            tool(name, number)
            ended = "ran"
        except forewarn.NotRecorded:
            ended = "refused"
        print(json.dumps({"agent": name, "tool": tool.__name__, "number": number, "ended": ended}), flush=True)
forewarn.flush(timeout=60)
