-- What was announced about a trace (incidents, deliveries) and about the incidents it joined, oldest first; times are Unix nanoseconds.
-- parameter prefix: the beginning of a trace id in hexadecimal
WITH own AS
(
    SELECT id, events.incident AS incident
    FROM events
    WHERE events.trace_id BETWEEN toFixedString(unhex(rightPad({prefix:String}, 32, '0')), 16)
        AND toFixedString(unhex(rightPad({prefix:String}, 32, 'f')), 16)
)
SELECT id, toUnixTimestamp64Nano(ts) AS time_ns, kind, lower(hex(events.trace_id)) AS trace_id, lower(hex(events.span_id)) AS span_id, rule,
    severity, incident, target, target_type, environment, service, detail
FROM events
WHERE events.id IN (SELECT id FROM own)
    OR (events.incident IN (SELECT incident FROM own WHERE incident != '') AND kind != 'incident.hit')
ORDER BY time_ns, id
