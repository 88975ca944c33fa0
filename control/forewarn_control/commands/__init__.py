"""The verbs of the control room: one module a verb, each with a typer app named `app`."""
