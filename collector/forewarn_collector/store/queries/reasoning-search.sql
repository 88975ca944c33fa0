-- Where an agent reasoned with all of these words, latest first; words are matched whole, upper and lower case differ.
-- parameter words: the words, in any order
-- parameter since: seconds back from now (default 2592000)
-- parameter limit: how many at most (default 50)
SELECT ts, environment, service, agent_path, operation, tool, reasoning, lower(hex(trace_id)) AS trace_id, lower(hex(span_id)) AS span_id
FROM spans
WHERE hasAllTokens(reasoning, splitByNonAlpha({words:String})) AND received_at >= now64(9) - toIntervalSecond({since:UInt32})
ORDER BY received_at DESC, ts DESC, span_id
LIMIT {limit:UInt32}
