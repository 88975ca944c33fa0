-- Calls of which records with two keys, or with two digests, speak: a later one may have replaced what was said. Latest first.
-- parameter since: seconds back from now (default 86400)
-- parameter environment: verified environment; empty: any (default )
SELECT min(ts) AS began, environment, groupUniqArray(service) AS services, groupUniqArray(tool) AS tools, groupUniqArray(effect) AS effects,
    groupUniqArrayArray(keys) AS spoken_by, groupUniqArrayArray(digests) AS told, max(received_at) AS latest,
    lower(hex(trace_id)) AS trace_id, lower(hex(span_id)) AS span_id
FROM calls
WHERE received_at >= now64(9) - toIntervalSecond({since:UInt32})
    AND ({environment:String} = '' OR environment = {environment:String})
GROUP BY environment, calls.trace_id, calls.span_id
HAVING length(spoken_by) > 1 OR length(told) > 1
ORDER BY latest DESC, span_id
