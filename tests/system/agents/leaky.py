"""An agent with a secret in everything it says: each line of its input is one text with a secret in it, as JSON."""

import json
import sys
from contextlib import suppress

import forewarn

texts = [json.loads(line) for line in sys.stdin]
forewarn.configure(service="leaky")


@forewarn.tool(effect="read")
def look(flat: str, nested: object) -> object:
    return {"rows": [nested], "flat": flat}


@forewarn.tool(effect="read")
def fail(text: str) -> None:
    raise ValueError(text)


@forewarn.tool(effect="read")
def stream(text: str) -> object:
    yield text


@forewarn.tool(effect="destructive")
def drop(text: str, password: str) -> str:
    return text


with forewarn.agent("leaky", task=texts[0]["text"]):
    for each in texts:
        text, secret = each["text"], each["secret"]
        forewarn.reason(text)
        look(text, {"deep": [text], "headers": [["Authorization", secret]], "argv": ["login", "--password", secret]})
        list(stream(text))
        drop(text, secret)
        with suppress(ValueError):
            fail(text)
print("done")
forewarn.flush(timeout=float(sys.argv[1]))
