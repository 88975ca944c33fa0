-- How requests become rows: `unfolding.py` fills the places from the tables of dialects and the list of tools, and the
-- store makes the view anew whenever the outcome differs from the one that it has. What is repeated here is repeated for
-- the time that the engine takes to analyse it, which it does at each insert.
CREATE MATERIALIZED VIEW $view TO arriving_spans AS
WITH
    ['otlp:string;base64,', '', '', '', 'otlp:array;base64,', 'otlp:kvlist;base64,', 'otlp:bytes;base64,'] AS marks,
    -- Values without a text of their own stay whole: otlp:<kind>;base64,<encoded value>; a text that looks like one is marked too.
    (k, v) -> (k, multiIf(
        v.value = 's' AND NOT startsWith(v.string_value, 'otlp:'), v.string_value,
        v.value = 'i', toString(v.int_value),
        v.value = 'b', if(v.bool_value = 1, 'true', 'false'),
        v.value = 'd', toString(v.double_value),
        v.value = 'n', '',
        concat(marks[toInt8(v.value)], base64Encode(concat(v.string_value, v.array_value, v.kvlist_value, v.bytes_value))))) AS as_text,
    -- The same for a text, a list or a map, which is all that a column of values takes.
    v -> multiIf(
        v.value = 's' AND NOT startsWith(v.string_value, 'otlp:'), v.string_value,
        v.value IN ('s', 'a', 'k'), concat(marks[toInt8(v.value)], base64Encode(concat(v.string_value, v.array_value, v.kvlist_value))),
        '') AS as_value,
    -- Ids of another length are aligned to the right: 64-bit trace ids get leading zero bytes.
    id -> if(length(id) = 16, toFixedString(id, 16), toFixedString(substring(concat(repeat('\0', 16), id), -16), 16)) AS as_trace_id,
    id -> if(length(id) = 8, toFixedString(id, 8), toFixedString(substring(concat(repeat('\0', 8), id), -8), 8)) AS as_span_id,
    ns -> fromUnixTimestamp64Nano(toInt64(least(ns, 9223372036854775807)), 'UTC') AS as_time,
    arrived AS
    (
        SELECT arrayJoin(scope_spans.spans) AS span, scope_spans.scope.name AS scope, scope_spans.scope.version AS scope_version,
            service, sender, host, environment, environment_claimed, key_id, received_at, resource
        FROM
        (
            SELECT
                arrayJoin(resource_spans.scope_spans) AS scope_spans,
                $resource_columns,
                if(mapContains(told, '$environment_name'), '$environment_name', '$older_environment_name') AS claim,
                told[claim] AS environment_claimed,
                mapFilter((k, v) -> k NOT IN ($lifted_resource) AND k != claim, told) AS resource,
                stamps[1].environment AS environment, stamps[1].key_id AS key_id, as_time(stamps[1].received_unix_nano) AS received_at
            FROM
            (
                SELECT arrayJoin(resource_spans) AS resource_spans, mapApply(as_text, resource_spans.resource.attributes) AS told, stamps
                FROM $landing
            )
        )
    )
SELECT
    as_time(span.start_time_unix_nano) AS ts,
    if(NOT pending AND span.end_time_unix_nano > span.start_time_unix_nano, span.end_time_unix_nano - span.start_time_unix_nano, 0) AS duration_ns,
    as_trace_id(span.trace_id) AS trace_id,
    as_span_id(if(pending, span.parent_span_id, span.span_id)) AS span_id,
    if(pending, toFixedString(unhex(pending_parent), 8), as_span_id(span.parent_span_id)) AS parent_span_id,
    if(pending, 0, span.end_time_unix_nano) AS version,
    if(version = 0, 'start', 'end') AS record,
    span.name AS name,
    -- Negative numbers become large ones; BETWEEN would do the same, and costs 2 ms of analysis each.
    if(toUInt32(span.kind) <= 5, span.kind, 0) AS kind,
    if(toUInt32(span.status.code) <= 2, span.status.code, 0) AS status_code,
    span.status.message AS status_message,
    service, sender, host, environment, environment_claimed, key_id, received_at,
    operation, tool, reasoning,
    $texts,
    $values,
    multiIf(listed > declared, substring(listed, 2), declared = '', 'unknown', sent_effect) AS effect,
    multiIf(listed > declared, '$tool_list', declared = '', '$undeclared', sent_source) AS effect_source,
    $numbers,
    $times,
    -- An attribute of another type than its column's stays here, and what the sender says of an effect that is another.
    mapApply(as_text, mapFilter((k, v) -> multiIf(
        v.value = 's', k NOT IN ($lifted_texts) OR ((listed > declared OR declared = '') AND k IN ($effect_names)),
        v.value = 'i', v.int_value < 0 OR k NOT IN ($lifted_numbers),
        v.value IN ('a', 'k'), k NOT IN ($lifted_values),
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
    SELECT *,
        said['$tool_name'].string_value AS sent_tool,
        multiIf(sent_operation != '', sent_operation, named_call OR sent_tool != '', 'execute_tool', '') AS operation,
        multiIf(sent_tool != '' OR operation != 'execute_tool', sent_tool, named_call, substring(span.name, $after_prefix), dialect = 0, '', span.name) AS tool,
        said['$effect_name'].string_value AS sent_effect,
        said['$effect_source_name'].string_value AS sent_source,
        -- Effects with their ranks in front: '' where nobody says, and above all where there is no call to have one.
        multiIf(operation != 'execute_tool', '9', sent_source = '$undeclared' AND sent_effect = 'unknown', '0', transform(sent_effect, $effects, $ranked, '')) AS declared,
        $listed AS listed
    FROM
    (
$said
    )
)
