-- Records that will never come, as their senders say, and why; latest first.
-- parameter since: seconds back from now; of senders heard of since then (default 86400)
-- parameter environment: verified environment; empty: any (default )
-- parameter service: service name; empty: any (default )
-- parameter sender: the beginning of a sender's id (default )
SELECT ts, environment, service, sender, numbers, reason, effect, sequence
FROM losses
WHERE (environment, service, sender) IN
    (
        SELECT environment, service, sender
        FROM senders
        WHERE ({environment:String} = '' OR environment = {environment:String})
            AND ({service:String} = '' OR service = {service:String})
            AND startsWith(sender, {sender:String})
        GROUP BY environment, service, sender
        HAVING max(senders.received_at) >= now64(9) - toIntervalSecond({since:UInt32})
    )
ORDER BY ts DESC, sender, sequence
