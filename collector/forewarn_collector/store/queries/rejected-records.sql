-- Requests that the store refused, why, and where each is kept; latest first. sender is empty where nobody can read whose they are.
-- parameter since: seconds back from now (default 2592000)
-- parameter environment: verified environment; empty: any (default )
-- parameter service: service name; empty: any (default )
-- parameter sender: the beginning of a sender's id (default )
SELECT ts, events.environment AS environment, events.service AS service, JSONExtractString(detail, 'sender') AS sender,
    JSONExtractString(detail, 'numbers') AS numbers, JSONExtractString(detail, 'reason') AS reason,
    JSONExtractString(detail, 'source') AS source, JSONExtractString(detail, 'dead_letter') AS dead_letter
FROM events
WHERE kind = 'records.rejected' AND ts >= now64(9) - toIntervalSecond({since:UInt32})
    AND ({environment:String} = '' OR events.environment = {environment:String})
    AND ({service:String} = '' OR events.service = {service:String})
    AND startsWith(sender, {sender:String})
ORDER BY ts DESC, source, sender
