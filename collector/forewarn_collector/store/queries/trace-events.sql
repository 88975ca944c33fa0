-- What was announced about a trace (incidents, deliveries), oldest first; times are Unix nanoseconds.
-- parameter prefix: the beginning of a trace id in hexadecimal
SELECT id, toUnixTimestamp64Nano(ts) AS time_ns, kind, lower(hex(events.trace_id)) AS trace_id, lower(hex(events.span_id)) AS span_id, rule,
    severity, incident, target, target_type, environment, service, detail
FROM events
WHERE events.trace_id BETWEEN toFixedString(unhex(rightPad({prefix:String}, 32, '0')), 16)
    AND toFixedString(unhex(rightPad({prefix:String}, 32, 'f')), 16)
ORDER BY time_ns, id
