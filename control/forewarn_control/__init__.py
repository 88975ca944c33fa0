"""The control API, and the process that runs every role."""
