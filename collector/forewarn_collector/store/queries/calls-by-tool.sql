-- How often each tool is called, how often it fails, and how long it takes.
-- parameter since: seconds back from now (default 86400)
-- parameter environment: verified environment; empty: any (default )
WITH begun AS
(
    SELECT environment, ts, span_id, trace_id FROM calls
    WHERE record = 'start' AND received_at >= now64(9) - toIntervalSecond({since:UInt32})
)
SELECT tool, effect, count() AS calls, countIf(status_code = 'Error') AS errors, countIf(outcome = 'refused') AS refused,
    countIf(record = 'start') AS unfinished,
    if(countIf(record = 'end') = 0, NULL, round(quantileIf(0.5)(duration_ns, record = 'end') / 1e6, 3)) AS p50_ms,
    if(countIf(record = 'end') = 0, NULL, round(quantileIf(0.95)(duration_ns, record = 'end') / 1e6, 3)) AS p95_ms
FROM calls
WHERE received_at >= now64(9) - toIntervalSecond({since:UInt32})
    AND ({environment:String} = '' OR environment = {environment:String})
    -- The end may have come under another effect, that of a tool list which has changed meanwhile: one call all the same.
    AND NOT (record = 'start' AND (environment, ts, span_id, trace_id) IN
    (
        SELECT environment, ts, span_id, trace_id FROM calls
        WHERE record = 'end' AND (environment, ts, span_id, trace_id) IN (SELECT environment, ts, span_id, trace_id FROM begun)
    ))
GROUP BY tool, effect
ORDER BY calls DESC, tool, effect
