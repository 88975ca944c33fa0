-- Calls whose start is on record and whose end is not: still running, or their process is gone. Oldest first.
-- parameter since: seconds back from now (default 86400)
-- parameter after: only calls whose start was recorded at least so many seconds ago (default 0)
-- parameter environment: verified environment; empty: any (default )
WITH begun AS
(
    SELECT * FROM calls
    WHERE record = 'start'
        AND received_at >= now64(9) - toIntervalSecond({since:UInt32})
        AND recorded_at <= now64(9) - toIntervalSecond({after:UInt32})
        AND ({environment:String} = '' OR environment = {environment:String})
)
SELECT ts, environment, service, agent_path, tool, effect, lower(hex(begun.trace_id)) AS trace_id, lower(hex(begun.span_id)) AS span_id,
    dateDiff('second', assumeNotNull(recorded_at), now64(9)) AS seconds_ago
FROM begun
WHERE
    -- The end may have come under another effect, that of a tool list which has changed meanwhile.
    (environment, ts, begun.span_id, begun.trace_id) NOT IN
(
    SELECT environment, ts, span_id, trace_id FROM calls
    WHERE record = 'end' AND (environment, ts, span_id, trace_id) IN (SELECT environment, ts, span_id, trace_id FROM begun)
)
ORDER BY recorded_at, ts, span_id
