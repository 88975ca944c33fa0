-- A whole trace, oldest first; times are Unix nanoseconds, 0 where not on record.
-- parameter prefix: the beginning of a trace id in hexadecimal
WITH found AS
(
    SELECT trace_id, first_ts, last_ts
    FROM trace_times
    WHERE trace_id BETWEEN toFixedString(unhex(rightPad({prefix:String}, 32, '0')), 16)
        AND toFixedString(unhex(rightPad({prefix:String}, 32, 'f')), 16)
),
recorded AS
(
    SELECT environment, trace_id, span_id, ts, min(toUnixTimestamp64Nano(assumeNotNull(recorded_at))) AS recorded_ns
    FROM calls
    WHERE recorded_at IS NOT NULL AND trace_id IN (SELECT trace_id FROM found)
        AND ts BETWEEN (SELECT min(first_ts) FROM found) AND (SELECT max(last_ts) FROM found)
    GROUP BY environment, trace_id, span_id, ts
)
SELECT
    lower(hex(spans.trace_id)) AS trace_id,
    lower(hex(spans.span_id)) AS span_id,
    lower(hex(spans.parent_span_id)) AS parent_span_id,
    toUnixTimestamp64Nano(ts) AS started_ns,
    version AS ended_ns,
    recorded.recorded_ns AS recorded_ns,
    toUnixTimestamp64Nano(tool_started_at) AS tool_started_ns,
    toUnixTimestamp64Nano(acknowledged_at) AS acknowledged_ns,
    toString(spans.record) AS record, name, operation, tool, agent, agent_path, arguments, result, reasoning, effect, effect_source,
    decision, outcome, toString(spans.status_code) AS status_code, status_message, error_type, sequence, service, sender, host,
    environment, environment_claimed, key_id, digest, model
FROM spans
LEFT JOIN recorded USING (environment, trace_id, span_id, ts)
WHERE spans.trace_id IN (SELECT trace_id FROM found)
    AND ts BETWEEN (SELECT min(first_ts) FROM found) AND (SELECT max(last_ts) FROM found)
ORDER BY started_ns, sequence, span_id
