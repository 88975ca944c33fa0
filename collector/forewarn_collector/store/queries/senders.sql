-- Processes that send records: who they are, when they were last heard, how far their numbering has come.
-- parameter since: seconds back from now (default 86400)
SELECT sender, service, host, environment, key_id, min(ts) AS first_seen, max(ts) AS last_seen, max(received_at) AS last_received,
    count() AS spans, max(sequence) AS last_sequence, countIf(record = 'start') AS unfinished
FROM spans
WHERE received_at >= now64(9) - toIntervalSecond({since:UInt32})
GROUP BY sender, service, host, environment, key_id
ORDER BY last_seen DESC, sender
