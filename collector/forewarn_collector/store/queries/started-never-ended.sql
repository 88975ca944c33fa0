-- Calls whose start is on record and whose end is not: still running, or their process is gone. Oldest first.
-- parameter since: seconds back from now (default 86400)
-- parameter after: only calls whose start was recorded at least so many seconds ago (default 0)
-- parameter environment: verified environment; empty: any (default )
SELECT ts, environment, service, agent_path, tool, effect, lower(hex(trace_id)) AS trace_id, lower(hex(span_id)) AS span_id,
    dateDiff('second', assumeNotNull(recorded_at), now64(9)) AS seconds_ago
FROM calls
WHERE record = 'start'
    AND received_at >= now64(9) - toIntervalSecond({since:UInt32})
    AND recorded_at <= now64(9) - toIntervalSecond({after:UInt32})
    AND ({environment:String} = '' OR environment = {environment:String})
ORDER BY recorded_at, ts, span_id
