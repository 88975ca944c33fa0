-- Incidents, newest first: what opened each, how often it was hit, who was told and who could not be.
-- parameter since: seconds back from now (default 604800)
-- parameter environment: verified environment; empty: any (default )
SELECT incident, min(ts) AS opened, any(events.rule) AS rule, any(events.severity) AS severity, any(events.environment) AS environment, any(events.service) AS service,
    argMin(lower(hex(events.trace_id)), ts) AS trace_id, countIf(kind IN ('incident.opened', 'incident.hit')) AS hits,
    arraySort(groupUniqArrayIf(target, kind = 'delivery.sent')) AS told,
    arraySort(groupUniqArrayIf(target, kind = 'delivery.failed')) AS failed
FROM events
WHERE events.incident != '' AND ts >= now64(9) - toIntervalSecond({since:UInt32})
    AND ({environment:String} = '' OR events.environment = {environment:String})
GROUP BY incident
ORDER BY opened DESC, incident
