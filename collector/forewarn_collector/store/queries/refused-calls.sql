-- Calls that were not run, and why; latest first.
-- parameter since: seconds back from now (default 86400)
-- parameter environment: verified environment; empty: any (default )
SELECT ts, environment, service, agent_path, tool, arguments, effect, decision, error_type, status_message AS reason,
    lower(hex(trace_id)) AS trace_id, lower(hex(span_id)) AS span_id
FROM spans
WHERE outcome = 'refused' AND received_at >= now64(9) - toIntervalSecond({since:UInt32})
    AND ({environment:String} = '' OR environment = {environment:String})
ORDER BY received_at DESC, ts DESC, span_id
