-- Incidents and deliveries, as they were announced on the log's topic of events; one row per id. Their ts is of our own
-- clock: no sender has a say in it.
CREATE TABLE events
(
    id String CODEC(ZSTD(1)),
    ts DateTime64(9, 'UTC') CODEC(Delta(8), ZSTD(1)),
    kind LowCardinality(String) CODEC(ZSTD(1)),
    trace_id FixedString(16) CODEC(ZSTD(1)),
    span_id FixedString(8) CODEC(ZSTD(1)),
    rule LowCardinality(String) CODEC(ZSTD(1)),
    severity LowCardinality(String) CODEC(ZSTD(1)),
    incident String CODEC(ZSTD(1)),
    target LowCardinality(String) CODEC(ZSTD(1)),
    target_type LowCardinality(String) CODEC(ZSTD(1)),
    environment LowCardinality(String) CODEC(ZSTD(1)),
    service LowCardinality(String) CODEC(ZSTD(1)),
    detail String CODEC(ZSTD(3)) COMMENT 'JSON object',
    INDEX by_trace_id trace_id TYPE bloom_filter(0.001) GRANULARITY 1,
    INDEX by_incident incident TYPE bloom_filter(0.001) GRANULARITY 1
)
ENGINE = ReplacingMergeTree
PARTITION BY toYYYYMM(ts)
ORDER BY (ts, id)
SETTINGS index_granularity = 1024, ttl_only_drop_parts = 1, non_replicated_deduplication_window = 10000,
    fsync_after_insert = 1, fsync_part_directory = 1, min_rows_to_fsync_after_merge = 1;

-- One row per JSON object of the topic, ids still as hexadecimal text.
CREATE TABLE arriving_events
(
    id String, ts DateTime64(9, 'UTC'), kind String, trace_id String, span_id String, rule String, severity String, incident String,
    target String, target_type String, environment String, service String, detail String
)
ENGINE = Null;

CREATE MATERIALIZED VIEW keep_events TO events AS
SELECT id, ts, kind, toFixedString(unhex(trace_id), 16) AS trace_id, toFixedString(unhex(span_id), 8) AS span_id, rule, severity,
    incident, target, target_type, environment, service, detail
FROM arriving_events;
