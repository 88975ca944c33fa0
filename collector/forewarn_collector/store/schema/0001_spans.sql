-- One row per span. The record of a span that ends later replaces the earlier: a start record has end time 0.
-- Start and end must meet in one partition, so it follows from ts alone; ts is what a sender's clock says, so there are 64
-- of them and no more: whatever the clocks say, no insert is spread too thin. A day has its own for two months.
CREATE TABLE spans
(
    ts DateTime64(9, 'UTC') CODEC(Delta(8), ZSTD(1)) COMMENT 'start of the span',
    duration_ns UInt64 CODEC(T64, ZSTD(1)) COMMENT '0 while the end is not on record',
    trace_id FixedString(16) CODEC(ZSTD(1)),
    span_id FixedString(8) CODEC(ZSTD(1)),
    parent_span_id FixedString(8) CODEC(ZSTD(1)) COMMENT 'eight zero bytes: no parent',
    record Enum8('end' = 0, 'start' = 1) CODEC(ZSTD(1)) COMMENT 'start: no end is on record',
    version UInt64 CODEC(Delta(8), ZSTD(1)) COMMENT 'end of the span, Unix nanoseconds',
    name LowCardinality(String) CODEC(ZSTD(1)),
    kind Enum8('Unspecified' = 0, 'Internal' = 1, 'Server' = 2, 'Client' = 3, 'Producer' = 4, 'Consumer' = 5) CODEC(ZSTD(1)),
    status_code Enum8('Unset' = 0, 'Ok' = 1, 'Error' = 2) CODEC(ZSTD(1)),
    status_message String CODEC(ZSTD(1)),
    service LowCardinality(String) CODEC(ZSTD(1)),
    sender String CODEC(ZSTD(1)) COMMENT 'service.instance.id: one process',
    host LowCardinality(String) CODEC(ZSTD(1)),
    environment LowCardinality(String) CODEC(ZSTD(1)) COMMENT 'verified: that of the ingest key',
    environment_claimed LowCardinality(String) CODEC(ZSTD(1)) COMMENT 'what the process says of itself',
    key_id LowCardinality(String) CODEC(ZSTD(1)),
    received_at DateTime64(9, 'UTC') CODEC(Delta(8), ZSTD(1)) COMMENT 'the clock of the gateway',
    operation LowCardinality(String) CODEC(ZSTD(1)),
    tool LowCardinality(String) CODEC(ZSTD(1)),
    tool_type LowCardinality(String) CODEC(ZSTD(1)),
    call_id String CODEC(ZSTD(1)),
    agent LowCardinality(String) CODEC(ZSTD(1)),
    agent_path LowCardinality(String) CODEC(ZSTD(1)),
    arguments String CODEC(ZSTD(3)) COMMENT 'JSON',
    result String CODEC(ZSTD(3)) COMMENT 'JSON',
    reasoning String CODEC(ZSTD(3)),
    reasoning_span_id String CODEC(ZSTD(1)) COMMENT 'hex',
    effect LowCardinality(String) CODEC(ZSTD(1)),
    effect_source LowCardinality(String) CODEC(ZSTD(1)),
    digest String CODEC(ZSTD(1)) COMMENT 'hex SHA-256 of the call',
    decision LowCardinality(String) CODEC(ZSTD(1)),
    outcome LowCardinality(String) CODEC(ZSTD(1)),
    error_type LowCardinality(String) CODEC(ZSTD(1)),
    sequence UInt64 CODEC(T64, ZSTD(1)) COMMENT '1, 2, 3 ... per sender',
    tool_started_at DateTime64(9, 'UTC') CODEC(Delta(8), ZSTD(1)) COMMENT '1970: not on record',
    acknowledged_at DateTime64(9, 'UTC') CODEC(Delta(8), ZSTD(1)) COMMENT '1970: not on record',
    model LowCardinality(String) CODEC(ZSTD(1)),
    input_tokens UInt64 CODEC(T64, ZSTD(1)),
    output_tokens UInt64 CODEC(T64, ZSTD(1)),
    conversation_id String CODEC(ZSTD(1)),
    attributes Map(LowCardinality(String), String) CODEC(ZSTD(1)) COMMENT 'those without a column',
    resource Map(LowCardinality(String), String) CODEC(ZSTD(1)) COMMENT 'those without a column',
    events String CODEC(ZSTD(1)) COMMENT 'JSON: [{time_unix_nano, name, attributes}]',
    links String CODEC(ZSTD(1)) COMMENT 'JSON: [{trace_id, span_id, trace_state, attributes}]',
    trace_state String CODEC(ZSTD(1)),
    scope LowCardinality(String) CODEC(ZSTD(1)),
    scope_version LowCardinality(String) CODEC(ZSTD(1)),
    INDEX by_trace_id trace_id TYPE bloom_filter(0.001) GRANULARITY 1,
    INDEX by_arrival received_at TYPE minmax GRANULARITY 1,
    INDEX words_of_reasoning reasoning TYPE text(tokenizer = 'splitByNonAlpha')
)
ENGINE = ReplacingMergeTree(version)
PARTITION BY intDiv(toUnixTimestamp64Nano(ts), 86400000000000) % 64
-- The environment is part of what makes two records one span: a key of development cannot overwrite production.
ORDER BY (toStartOfFiveMinutes(ts), service, environment, trace_id, ts, span_id)
SETTINGS index_granularity = 1024, non_replicated_deduplication_window = 10000,
    fsync_after_insert = 1, fsync_part_directory = 1, min_rows_to_fsync_after_merge = 1;

-- Tool calls once more, small and in the order of the questions on call asks: which environment, how bad, how recent.
-- Start and end of a call are merged column by column rather than one replacing the other, in whatever order and however
-- often they come: what only the start knows, when it arrived, survives the end.
CREATE TABLE calls
(
    environment LowCardinality(String) CODEC(ZSTD(1)),
    effect LowCardinality(String) CODEC(ZSTD(1)),
    ts DateTime64(9, 'UTC') CODEC(Delta(8), ZSTD(1)),
    duration_ns SimpleAggregateFunction(max, UInt64) CODEC(T64, ZSTD(1)),
    trace_id FixedString(16) CODEC(ZSTD(1)),
    span_id FixedString(8) CODEC(ZSTD(1)),
    record SimpleAggregateFunction(min, Enum8('end' = 0, 'start' = 1)) CODEC(ZSTD(1)),
    version SimpleAggregateFunction(max, UInt64) CODEC(Delta(8), ZSTD(1)),
    recorded_at SimpleAggregateFunction(min, Nullable(DateTime64(9, 'UTC'))) CODEC(ZSTD(1)) COMMENT 'the clock of the gateway when the start record came; NULL: none came',
    received_at SimpleAggregateFunction(max, DateTime64(9, 'UTC')) CODEC(Delta(8), ZSTD(1)) COMMENT 'the clock of the gateway when the latest record came',
    status_code SimpleAggregateFunction(max, Enum8('Unset' = 0, 'Ok' = 1, 'Error' = 2)) CODEC(ZSTD(1)),
    service SimpleAggregateFunction(max, LowCardinality(String)) CODEC(ZSTD(1)),
    tool SimpleAggregateFunction(max, LowCardinality(String)) CODEC(ZSTD(1)),
    agent SimpleAggregateFunction(max, LowCardinality(String)) CODEC(ZSTD(1)),
    agent_path SimpleAggregateFunction(max, LowCardinality(String)) CODEC(ZSTD(1)),
    decision SimpleAggregateFunction(max, LowCardinality(String)) CODEC(ZSTD(1)),
    outcome SimpleAggregateFunction(max, LowCardinality(String)) CODEC(ZSTD(1)),
    error_type SimpleAggregateFunction(max, LowCardinality(String)) CODEC(ZSTD(1)),
    INDEX by_arrival received_at TYPE minmax GRANULARITY 1
)
ENGINE = AggregatingMergeTree
PARTITION BY intDiv(toUnixTimestamp64Nano(ts), 86400000000000) % 64
ORDER BY (environment, effect, ts, span_id, trace_id)
SETTINGS index_granularity = 1024, non_replicated_deduplication_window = 10000,
    fsync_after_insert = 1, fsync_part_directory = 1, min_rows_to_fsync_after_merge = 1;

-- When each trace was: turns an id, or the beginning of one, into a range of time to read.
CREATE TABLE trace_times
(
    trace_id FixedString(16) CODEC(ZSTD(1)),
    first_ts SimpleAggregateFunction(min, DateTime64(9, 'UTC')) CODEC(Delta(8), ZSTD(1)),
    last_ts SimpleAggregateFunction(max, DateTime64(9, 'UTC')) CODEC(Delta(8), ZSTD(1)),
    received_at SimpleAggregateFunction(max, DateTime64(9, 'UTC')) CODEC(Delta(8), ZSTD(1)) COMMENT 'the clock of the gateway when the latest record came'
)
ENGINE = AggregatingMergeTree
ORDER BY trace_id
SETTINGS index_granularity = 1024, non_replicated_deduplication_window = 10000,
    fsync_after_insert = 1, fsync_part_directory = 1, min_rows_to_fsync_after_merge = 1;
