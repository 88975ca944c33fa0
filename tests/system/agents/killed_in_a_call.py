"""An agent whose destructive tool never comes back: its process is killed from outside while the tool runs."""

import threading

import forewarn

forewarn.configure(service="janitor-service")


@forewarn.tool(effect="destructive")
def drop_table(name: str) -> None:
    print("running", flush=True)
    threading.Event().wait()


with forewarn.agent("janitor"):
    forewarn.reason("customers looks stale.")
    drop_table("customers")
