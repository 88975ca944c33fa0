-- Processes that claim another environment than the one their key belongs to.
-- parameter since: seconds back from now (default 86400)
SELECT environment AS verified, environment_claimed AS claimed, service, sender, host, key_id, count() AS spans,
    countIf(effect IN ('destructive', 'unknown')) AS destructive, min(ts) AS first_seen, max(ts) AS last_seen
FROM spans
WHERE received_at >= now64(9) - toIntervalSecond({since:UInt32})
    AND environment_claimed != ''
    AND transform(lower(trimBoth(environment_claimed)),
        ['prod', 'prd', 'live', 'stage', 'stg', 'dev', 'local', 'testing', 'ci'],
        ['production', 'production', 'production', 'staging', 'staging', 'development', 'development', 'test', 'test'],
        lower(trimBoth(environment_claimed))) != environment
GROUP BY verified, claimed, service, sender, host, key_id
ORDER BY last_seen DESC, sender
