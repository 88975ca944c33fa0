"""The metrics of watcher and deliveries: every name once, with its type and meaning."""

from __future__ import annotations

from typing import Final

from prometheus_client import CollectorRegistry, Counter, Histogram

RECORDS: Final = "forewarn_watcher_records_total"
"""Counter: records of the log that were matched against the rules; one record is one request of a sender."""
UNREADABLE: Final = "forewarn_watcher_unreadable_records_total"
"""Counter: records that are no OTLP and were skipped; the sink keeps them among the dead letters."""
HITS: Final = "forewarn_watcher_hits_total"
"""Counter by `rule`: calls that met a rule's condition, before any grouping. After a crash some are counted again."""
RULE_ERRORS: Final = "forewarn_watcher_rule_errors_total"
"""Counter by `rule`: calls for which its condition had no answer. Above zero, nobody watches what it should catch."""
INCIDENTS: Final = "forewarn_watcher_incidents_total"
"""Counter: incidents opened."""
PAGES: Final = "forewarn_pages_total"
"""Counter by `target_type` and `outcome`: attempts to deliver. `retried` ones come again, `failed` never."""
PAGE_SECONDS: Final = "forewarn_page_seconds"
"""Histogram by `target_type`: from a call's record in the log to the target's yes. Not of missing ends."""

SENT: Final = "sent"
RETRIED: Final = "retried"
FAILED: Final = "failed"

_PAGE_BUCKETS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 60.0, 600.0, 3600.0)


class AlertsMetrics:
    """The metrics on one registry. Make one, and give it to the watcher and to the deliverer."""

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        self.registry = registry or CollectorRegistry()
        self.records = Counter(RECORDS, "Log records matched.", registry=self.registry)
        self.unreadable = Counter(UNREADABLE, "Log records skipped as unreadable.", registry=self.registry)
        self.hits = Counter(HITS, "Calls that a rule is about.", ["rule"], registry=self.registry)
        self.rule_errors = Counter(RULE_ERRORS, "Calls a rule failed on.", ["rule"], registry=self.registry)
        self.incidents = Counter(INCIDENTS, "Incidents opened.", registry=self.registry)
        self.pages = Counter(PAGES, "Attempts to deliver a page.", ["target_type", "outcome"], registry=self.registry)
        self.page_seconds = Histogram(
            PAGE_SECONDS, "From record to page sent.", ["target_type"], buckets=_PAGE_BUCKETS, registry=self.registry
        )
