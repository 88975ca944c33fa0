-- Processes that number their records: how many numbers came, how far they go, what each last said of itself; gaps lists what is missing.
-- parameter since: seconds back from now; heard of since then (default 86400)
-- parameter environment: verified environment; empty: any (default )
-- parameter service: service name; empty: any (default )
-- parameter sender: the beginning of a sender's id (default )
WITH max(senders.latest) AS word
SELECT environment, service, sender, max(senders.host) AS host, max(senders.pid) AS pid,
    sum(bitmapCardinality(senders.numbers)) AS received, max(chunk * 65536 + bitmapMax(senders.numbers)) AS last_number,
    greatest(max(senders.issued), last_number) AS issued, min(senders.started_at) AS started_at,
    max(senders.received_at) AS last_received_at, max(senders.last_ts) AS last_ts,
    word.event AS said, word.sequence AS said_number, word.received_at AS said_received_at,
    word.waiting_bytes AS waiting_bytes, word.heartbeat_seconds AS heartbeat_seconds, now64(9, 'UTC') AS asked_at
FROM senders
WHERE ({environment:String} = '' OR environment = {environment:String})
    AND ({service:String} = '' OR service = {service:String})
    AND startsWith(sender, {sender:String})
GROUP BY environment, service, sender
HAVING last_received_at >= now64(9) - toIntervalSecond({since:UInt32})
ORDER BY last_received_at DESC, environment, service, sender
