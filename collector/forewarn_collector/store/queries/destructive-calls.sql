-- The latest destructive calls with arguments and outcome; a call whose effect nobody declared counts as destructive.
-- parameter since: seconds back from now (default 86400)
-- parameter environment: verified environment; empty: any (default )
-- parameter limit: how many at most (default 100)
WITH latest AS
(
    SELECT ts, trace_id, span_id
    FROM calls
    WHERE effect IN ('destructive', 'unknown')
        AND received_at >= now64(9) - toIntervalSecond({since:UInt32})
        AND ({environment:String} = '' OR environment = {environment:String})
    ORDER BY received_at DESC, ts DESC
    LIMIT {limit:UInt32}
)
SELECT ts, environment, service, agent_path, tool, arguments, effect, decision, if(record = 'start', 'not on record', toString(spans.outcome)) AS outcome,
    error_type, round(duration_ns / 1e6, 1) AS duration_ms, lower(hex(spans.trace_id)) AS trace_id, lower(hex(spans.span_id)) AS span_id
FROM spans
WHERE (spans.ts, spans.trace_id, spans.span_id) IN (SELECT ts, trace_id, span_id FROM latest)
    AND ts >= (SELECT min(ts) FROM latest)
ORDER BY received_at DESC, ts DESC, span_id
