"""The store: spans and events as rows, on chDB in process or on a ClickHouse server."""
