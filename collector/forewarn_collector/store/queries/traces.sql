-- Traces of a period, newest first: what each did, and what of it is bad.
-- parameter since: seconds back from now (default 86400)
-- parameter destructive: 1: only traces with a destructive or unknown call (default 0)
-- parameter environment: verified environment; empty: any (default )
-- parameter service: service name; empty: any (default )
-- parameter agent: name of an agent anywhere in the path; empty: any (default )
-- parameter tool: name of a tool; empty: any (default )
-- parameter limit: how many at most (default 50)
SELECT
    lower(hex(spans.trace_id)) AS trace_id,
    min(ts) AS started,
    round((max(toUnixTimestamp64Nano(ts) + duration_ns) - min(toUnixTimestamp64Nano(ts))) / 1e6, 1) AS duration_ms,
    any(spans.environment) AS environment,
    any(spans.service) AS service,
    arraySort(groupUniqArrayIf(if(agent_path = '', agent, agent_path), agent_path != '' OR agent != '')) AS agents,
    countIf(operation = 'execute_tool' OR (operation = '' AND tool != '')) AS calls,
    countIf(effect = 'destructive') AS destructive,
    countIf(effect = 'unknown') AS unknown,
    countIf(outcome = 'refused') AS refused,
    countIf(status_code = 'Error') AS errors,
    countIf(record = 'start') AS unfinished
FROM spans
WHERE received_at >= now64(9) - toIntervalSecond({since:UInt32})
    AND operation NOT IN ('sender', 'loss')
    AND ({environment:String} = '' OR spans.environment = {environment:String})
    AND ({service:String} = '' OR spans.service = {service:String})
GROUP BY spans.trace_id
HAVING ({destructive:UInt8} = 0 OR destructive + unknown > 0)
    AND ({agent:String} = '' OR countIf(agent = {agent:String} OR has(splitByString(' > ', agent_path), {agent:String})) > 0)
    AND ({tool:String} = '' OR countIf(tool = {tool:String}) > 0)
ORDER BY max(received_at) DESC, started DESC, trace_id
LIMIT {limit:UInt32}
