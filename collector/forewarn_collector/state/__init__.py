"""Where approvals, incidents, deliveries and keys are kept: SQLite on one machine, PostgreSQL beyond."""

from forewarn_collector.state.engine import READ_ONLY, metadata, open_state

__all__ = ["READ_ONLY", "metadata", "open_state"]
