-- From OTLP bytes to rows, inside the engine: landing -> arriving_spans -> spans, calls, trace_times. A small batch is
-- decoded outside (row_binary.py) and begins at arriving_spans.
-- Both ends of the first arrow keep nothing (Null); each table behind them drops a repeated token by itself, so that an
-- insert that a crash cut in two is completed by its repetition.

-- One row per OTLP request, as FORMAT Protobuf decodes it with otlp_traces.proto. `value` tells which member of the
-- oneof is set: s string, b bool, i int, d double, a array, k key-value list, y bytes, n nothing.
CREATE TABLE landing
(
    resource_spans Array(Tuple(
        resource Tuple(attributes Map(String, Tuple(value Enum8('n' = 0, 's' = 1, 'b' = 2, 'i' = 3, 'd' = 4, 'a' = 5, 'k' = 6, 'y' = 7), string_value String, bool_value UInt8, int_value Int64, double_value Float64, array_value String, kvlist_value String, bytes_value String))),
        scope_spans Array(Tuple(
            scope Tuple(name LowCardinality(String), version LowCardinality(String)),
            spans Array(Tuple(
                trace_id String,
                span_id String,
                trace_state String,
                parent_span_id String,
                name LowCardinality(String),
                kind Int32,
                start_time_unix_nano UInt64,
                end_time_unix_nano UInt64,
                attributes Map(String, Tuple(value Enum8('n' = 0, 's' = 1, 'b' = 2, 'i' = 3, 'd' = 4, 'a' = 5, 'k' = 6, 'y' = 7), string_value String, bool_value UInt8, int_value Int64, double_value Float64, array_value String, kvlist_value String, bytes_value String)),
                events Array(Tuple(time_unix_nano UInt64, name String, attributes Map(String, Tuple(value Enum8('n' = 0, 's' = 1, 'b' = 2, 'i' = 3, 'd' = 4, 'a' = 5, 'k' = 6, 'y' = 7), string_value String, bool_value UInt8, int_value Int64, double_value Float64, array_value String, kvlist_value String, bytes_value String)))),
                links Array(Tuple(trace_id String, span_id String, trace_state String, attributes Map(String, Tuple(value Enum8('n' = 0, 's' = 1, 'b' = 2, 'i' = 3, 'd' = 4, 'a' = 5, 'k' = 6, 'y' = 7), string_value String, bool_value UInt8, int_value Int64, double_value Float64, array_value String, kvlist_value String, bytes_value String)))),
                status Tuple(message String, code Int32)
            ))
        ))
    )),
    stamps Array(Tuple(environment String, key_id String, received_unix_nano UInt64))
)
ENGINE = Null;

CREATE TABLE arriving_spans AS spans ENGINE = Null;

CREATE MATERIALIZED VIEW unfold_spans TO arriving_spans AS
WITH
    -- Values without a text of their own stay whole: otlp:<kind>;base64,<encoded value>; a text that looks like one is marked too.
    (k, v) -> (k, multiIf(
        v.value = 's', if(startsWith(v.string_value, 'otlp:'), concat('otlp:string;base64,', base64Encode(v.string_value)), v.string_value),
        v.value = 'i', toString(v.int_value),
        v.value = 'b', if(v.bool_value = 1, 'true', 'false'),
        v.value = 'd', toString(v.double_value),
        v.value = 'a', concat('otlp:array;base64,', base64Encode(v.array_value)),
        v.value = 'k', concat('otlp:kvlist;base64,', base64Encode(v.kvlist_value)),
        v.value = 'y', concat('otlp:bytes;base64,', base64Encode(v.bytes_value)),
        '')) AS as_text,
    -- Ids of another length are aligned to the right: 64-bit trace ids get leading zero bytes.
    id -> if(length(id) = 16, toFixedString(id, 16), toFixedString(substring(concat(repeat('\0', 16), id), -16), 16)) AS as_trace_id,
    id -> if(length(id) = 8, toFixedString(id, 8), toFixedString(substring(concat(repeat('\0', 8), id), -8), 8)) AS as_span_id,
    ns -> fromUnixTimestamp64Nano(toInt64(least(ns, 9223372036854775807)), 'UTC') AS as_time
SELECT
    as_time(span.start_time_unix_nano) AS ts,
    if(span.end_time_unix_nano > span.start_time_unix_nano, span.end_time_unix_nano - span.start_time_unix_nano, 0) AS duration_ns,
    as_trace_id(span.trace_id) AS trace_id,
    as_span_id(span.span_id) AS span_id,
    as_span_id(span.parent_span_id) AS parent_span_id,
    if(span.end_time_unix_nano = 0, 'start', 'end') AS record,
    span.end_time_unix_nano AS version,
    span.name AS name,
    -- Negative numbers become large ones; BETWEEN would do the same, and costs 2 ms of analysis each.
    if(toUInt32(span.kind) <= 5, span.kind, 0) AS kind,
    if(toUInt32(span.status.code) <= 2, span.status.code, 0) AS status_code,
    span.status.message AS status_message,
    service, sender, host, environment, environment_claimed, key_id, received_at,
    said['gen_ai.operation.name'].string_value AS operation,
    said['gen_ai.tool.name'].string_value AS tool,
    said['gen_ai.tool.type'].string_value AS tool_type,
    said['gen_ai.tool.call.id'].string_value AS call_id,
    said['gen_ai.agent.name'].string_value AS agent,
    said['forewarn.agent.path'].string_value AS agent_path,
    said['gen_ai.tool.call.arguments'].string_value AS arguments,
    said['gen_ai.tool.call.result'].string_value AS result,
    said['forewarn.reasoning'].string_value AS reasoning,
    said['forewarn.reasoning.span_id'].string_value AS reasoning_span_id,
    said['forewarn.effect'].string_value AS effect,
    said['forewarn.effect.source'].string_value AS effect_source,
    said['forewarn.call.digest'].string_value AS digest,
    said['forewarn.decision'].string_value AS decision,
    said['forewarn.outcome'].string_value AS outcome,
    said['error.type'].string_value AS error_type,
    toUInt64(greatest(said['forewarn.sequence'].int_value, 0)) AS sequence,
    as_time(toUInt64(greatest(said['forewarn.tool.started_unix_nano'].int_value, 0))) AS tool_started_at,
    as_time(toUInt64(greatest(said['forewarn.acknowledged_unix_nano'].int_value, 0))) AS acknowledged_at,
    said['gen_ai.request.model'].string_value AS model,
    toUInt64(greatest(said['gen_ai.usage.input_tokens'].int_value, 0)) AS input_tokens,
    toUInt64(greatest(said['gen_ai.usage.output_tokens'].int_value, 0)) AS output_tokens,
    said['gen_ai.conversation.id'].string_value AS conversation_id,
    -- An attribute of another type than its column's stays here.
    mapApply(as_text, mapFilter((k, v) -> multiIf(
        v.value = 's', k NOT IN (
            'forewarn.record', 'gen_ai.operation.name', 'gen_ai.tool.name', 'gen_ai.tool.type', 'gen_ai.tool.call.id',
            'gen_ai.agent.name', 'forewarn.agent.path', 'gen_ai.tool.call.arguments', 'gen_ai.tool.call.result',
            'forewarn.reasoning', 'forewarn.reasoning.span_id', 'forewarn.effect', 'forewarn.effect.source',
            'forewarn.call.digest', 'forewarn.decision', 'forewarn.outcome', 'error.type', 'gen_ai.request.model',
            'gen_ai.conversation.id'),
        v.value = 'i', v.int_value < 0 OR k NOT IN (
            'forewarn.sequence', 'forewarn.tool.started_unix_nano', 'forewarn.acknowledged_unix_nano',
            'gen_ai.usage.input_tokens', 'gen_ai.usage.output_tokens'),
        1), said)) AS attributes,
    resource,
    if(empty(span.events), '', toJSONString(arrayMap(
        e -> CAST((e.time_unix_nano, e.name, mapApply(as_text, e.attributes)),
            'Tuple(time_unix_nano UInt64, name String, attributes Map(String, String))'), span.events))) AS events,
    if(empty(span.links), '', toJSONString(arrayMap(
        l -> CAST((lower(hex(l.trace_id)), lower(hex(l.span_id)), l.trace_state, mapApply(as_text, l.attributes)),
            'Tuple(trace_id String, span_id String, trace_state String, attributes Map(String, String))'), span.links))) AS links,
    span.trace_state AS trace_state,
    scope, scope_version
FROM
(
    SELECT span, span.attributes AS said, scope, scope_version,
        service, sender, host, environment, environment_claimed, key_id, received_at, resource
    FROM
    (
        SELECT arrayJoin(scope_spans.spans) AS span, scope_spans.scope.name AS scope, scope_spans.scope.version AS scope_version,
            service, sender, host, environment, environment_claimed, key_id, received_at, resource
        FROM
        (
            SELECT
                arrayJoin(resource_spans.scope_spans) AS scope_spans,
                told['service.name'] AS service,
                told['service.instance.id'] AS sender,
                told['host.name'] AS host,
                if(mapContains(told, 'deployment.environment.name'), 'deployment.environment.name', 'deployment.environment') AS claim,
                told[claim] AS environment_claimed,
                mapFilter((k, v) -> k NOT IN ('service.name', 'service.instance.id', 'host.name') AND k != claim, told) AS resource,
                stamps[1].environment AS environment, stamps[1].key_id AS key_id, as_time(stamps[1].received_unix_nano) AS received_at
            FROM
            (
                SELECT arrayJoin(resource_spans) AS resource_spans, mapApply(as_text, resource_spans.resource.attributes) AS told, stamps
                FROM landing
            )
        )
    )
);

CREATE MATERIALIZED VIEW keep_spans TO spans AS SELECT * FROM arriving_spans;

CREATE MATERIALIZED VIEW keep_calls TO calls AS
SELECT environment, effect, ts, duration_ns, trace_id, span_id, record, version, if(record = 'start', received_at, NULL) AS recorded_at,
    received_at, status_code, service, tool, agent, agent_path, decision, outcome, error_type
FROM arriving_spans
WHERE operation = 'execute_tool' OR (operation = '' AND tool != '');

CREATE MATERIALIZED VIEW keep_trace_times TO trace_times AS
SELECT trace_id, min(ts) AS first_ts, max(ts) AS last_ts, max(arriving_spans.received_at) AS received_at
FROM arriving_spans
GROUP BY trace_id;
