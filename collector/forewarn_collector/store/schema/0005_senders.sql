-- Which numbers of each sender have arrived, and what it said of itself. One row per 65,536 numbers: a bitmap of them is at
-- most 8 KiB, and repetition changes nothing. Records without a number, those of other instrumentations, do not enter, but
-- for the losses that a living process tells of a dead one.
-- Losses are kept here, too, rather than in a table of their own: each table more costs every small insert 6 ms.
CREATE TABLE senders
(
    environment LowCardinality(String) CODEC(ZSTD(1)),
    service LowCardinality(String) CODEC(ZSTD(1)),
    sender String CODEC(ZSTD(1)),
    chunk UInt64 CODEC(ZSTD(1)) COMMENT 'number divided by 65536',
    numbers AggregateFunction(groupBitmap, UInt16) CODEC(ZSTD(1)) COMMENT 'those that arrived, modulo 65536',
    first_received_at SimpleAggregateFunction(min, DateTime64(9, 'UTC')) CODEC(ZSTD(1)),
    received_at SimpleAggregateFunction(max, DateTime64(9, 'UTC')) CODEC(ZSTD(1)) COMMENT 'the clock of the gateway when the latest record came',
    first_ts SimpleAggregateFunction(min, DateTime64(9, 'UTC')) CODEC(ZSTD(1)),
    last_ts SimpleAggregateFunction(max, DateTime64(9, 'UTC')) CODEC(ZSTD(1)),
    host SimpleAggregateFunction(max, LowCardinality(String)) CODEC(ZSTD(1)),
    pid SimpleAggregateFunction(max, UInt64) CODEC(ZSTD(1)),
    issued SimpleAggregateFunction(max, UInt64) CODEC(ZSTD(1)) COMMENT 'the highest number that it said it had given out',
    started_at SimpleAggregateFunction(min, Nullable(DateTime64(9, 'UTC'))) CODEC(ZSTD(1)),
    latest SimpleAggregateFunction(max, Tuple(sequence UInt64, event String, ts DateTime64(9, 'UTC'), received_at DateTime64(9, 'UTC'), heartbeat_seconds UInt64, waiting_bytes UInt64, trace_id FixedString(16))) CODEC(ZSTD(1)) COMMENT 'what it last said of itself; sequence 0: nothing',
    losses SimpleAggregateFunction(groupUniqArrayArray, Array(Tuple(sequence UInt64, ts DateTime64(9, 'UTC'), reason String, effect String, numbers String))) CODEC(ZSTD(1)) COMMENT 'what it said will never come'
)
ENGINE = AggregatingMergeTree
ORDER BY (environment, service, sender, chunk)
SETTINGS index_granularity = 1024, non_replicated_deduplication_window = 10000,
    fsync_after_insert = 1, fsync_part_directory = 1, min_rows_to_fsync_after_merge = 1;

-- What is in the store already: of a call only its end is left, so every number up to the highest counts as arrived.
INSERT INTO senders (environment, service, sender, chunk, numbers, first_received_at, received_at, first_ts, last_ts, host)
SELECT environment, service, sender, intDiv(number, 65536) AS chunk, groupBitmapState(toUInt16(number % 65536)) AS numbers,
    min(first_came) AS first_received_at, max(last_came) AS received_at, min(began) AS first_ts, max(latest) AS last_ts, max(on_host) AS host
FROM
(
    SELECT environment, service, sender, max(sequence) AS highest, min(spans.received_at) AS first_came, max(spans.received_at) AS last_came,
        min(ts) AS began, max(ts) AS latest, max(spans.host) AS on_host
    FROM spans
    WHERE sequence > 0 AND sender != ''
    GROUP BY environment, service, sender
)
ARRAY JOIN range(1, least(highest, 10000000) + 1) AS number
GROUP BY environment, service, sender, chunk;

CREATE MATERIALIZED VIEW keep_senders TO senders AS
SELECT environment, service, sender, intDiv(sequence, 65536) AS chunk,
    groupBitmapStateIf(toUInt16(sequence % 65536), sequence > 0) AS numbers,
    min(arriving_spans.received_at) AS first_received_at,
    max(arriving_spans.received_at) AS received_at,
    min(ts) AS first_ts,
    maxIf(ts, sequence > 0) AS last_ts,
    max(arriving_spans.host) AS host,
    max(toUInt64OrZero(resource['process.pid'])) AS pid,
    maxIf(toUInt64OrZero(attributes['forewarn.sender.issued']), operation = 'sender') AS issued,
    minOrNullIf(ts, operation = 'sender' AND attributes['forewarn.sender.event'] = 'start') AS started_at,
    maxIf((sequence, attributes['forewarn.sender.event'], ts, arriving_spans.received_at, toUInt64OrZero(attributes['forewarn.sender.heartbeat_seconds']), toUInt64OrZero(attributes['forewarn.sender.waiting_bytes']), trace_id), operation = 'sender') AS latest,
    groupUniqArrayIf((sequence, ts, attributes['forewarn.lost.reason'], attributes['forewarn.lost.effect'], attributes['forewarn.lost.sequences']), operation = 'loss') AS losses
FROM arriving_spans
WHERE sender != '' AND (sequence > 0 OR operation = 'loss')
GROUP BY environment, service, sender, chunk;

CREATE VIEW losses AS
SELECT environment, service, sender, loss.sequence AS sequence, loss.ts AS ts, loss.reason AS reason, loss.effect AS effect, loss.numbers AS numbers
FROM senders
ARRAY JOIN losses AS loss;
