"""An agent whose gateway is gone: it reads, then tries to destroy, and says what happened."""

import json
import time

import forewarn

forewarn.configure(service="offline-service", ack_timeout=1.0)


@forewarn.tool(effect="read")
def look(number: int) -> int:
    return number


@forewarn.tool(effect="destructive")
def delete(number: int) -> int:
    return number


looked = [look(number) for number in range(20)]
began = time.monotonic()
try:
    said = f"ran {delete(1)}"
except forewarn.NotRecorded as refusal:
    said = str(refusal)
print(json.dumps({"looked": looked, "said": said, "seconds": time.monotonic() - began}), flush=True)
forewarn.shutdown()
