-- How often each tool is called, how often it fails, and how long it takes.
-- parameter since: seconds back from now (default 86400)
-- parameter environment: verified environment; empty: any (default )
SELECT tool, effect, count() AS calls, countIf(status_code = 'Error') AS errors, countIf(outcome = 'refused') AS refused,
    countIf(record = 'start') AS unfinished,
    if(countIf(record = 'end') = 0, NULL, round(quantileIf(0.5)(duration_ns, record = 'end') / 1e6, 3)) AS p50_ms,
    if(countIf(record = 'end') = 0, NULL, round(quantileIf(0.95)(duration_ns, record = 'end') / 1e6, 3)) AS p95_ms
FROM calls
WHERE received_at >= now64(9) - toIntervalSecond({since:UInt32})
    AND ({environment:String} = '' OR environment = {environment:String})
GROUP BY tool, effect
ORDER BY calls DESC, tool, effect
