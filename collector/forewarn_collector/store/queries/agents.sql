-- Which agents ran, where, and what they did.
-- parameter since: seconds back from now (default 86400)
SELECT environment, service, if(agent_path = '', agent, agent_path) AS path, uniqExact(trace_id) AS traces,
    countIf(operation = 'execute_tool') AS calls, countIf(effect = 'destructive') AS destructive, countIf(effect = 'unknown') AS unknown,
    countIf(status_code = 'Error') AS errors, min(ts) AS first_seen, max(ts) AS last_seen
FROM spans
WHERE received_at >= now64(9) - toIntervalSecond({since:UInt32}) AND (agent_path != '' OR agent != '')
GROUP BY environment, service, path
ORDER BY last_seen DESC, path
