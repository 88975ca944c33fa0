-- Numbers of senders that have not arrived, as ranges; `forewarn gaps` says by whose fault.
-- parameter since: seconds back from now; of senders heard of since then (default 86400)
-- parameter environment: verified environment; empty: any (default )
-- parameter service: service name; empty: any (default )
-- parameter sender: the beginning of a sender's id (default )
WITH
    -- Runs without a hole, each from its first number to the one after its last.
    held AS
    (
        SELECT environment, service, sender, senders.issued AS issued, senders.received_at AS received_at, senders.first_ts AS first_ts,
            senders.latest AS latest, chunk * 65536 AS base,
            multiIf(bitmapCardinality(numbers) = 0, [],
                bitmapMax(numbers) - bitmapMin(numbers) + 1 = bitmapCardinality(numbers),
                [(base + bitmapMin(numbers), base + bitmapMax(numbers) + 1)],
                arrayMap(run -> (base + run[1], base + run[-1] + 1),
                    arraySplit((number, step) -> step > 1, arraySort(bitmapToArray(numbers)) AS each, arrayDifference(each)))) AS runs
        FROM senders
        WHERE ({environment:String} = '' OR environment = {environment:String})
            AND ({service:String} = '' OR service = {service:String})
            AND startsWith(sender, {sender:String})
    ),
    whole AS
    (
        SELECT environment, service, sender, arraySort(groupArrayArray(runs)) AS arrived, minIf(base, notEmpty(runs)) AS lowest,
            min(held.first_ts) AS first_ts, max(held.latest).trace_id AS own_trace,
            greatest(max(held.issued) + 1, arrived[-1].2) AS beyond
        FROM held
        GROUP BY environment, service, sender
        HAVING max(held.received_at) >= now64(9) - toIntervalSecond({since:UInt32})
    ),
    -- What retention has dropped is not missing: the sender's own trace remembers a beginning before what is left.
    own AS (SELECT trace_id, first_ts AS began FROM trace_times WHERE trace_id IN (SELECT own_trace FROM whole WHERE lowest > 0))
SELECT environment, service, sender, gap.1 AS first, toUInt64(gap.2 - 1) AS last, gap.2 - gap.1 AS records
FROM
(
    SELECT environment, service, sender, arrived, beyond, if(lowest > 0 AND own.began < first_ts, lowest, 1) AS from_number
    FROM whole
    LEFT JOIN own ON own.trace_id = whole.own_trace
)
ARRAY JOIN arrayFilter(gap -> gap.1 < gap.2, arrayZip(
    arrayPushFront(arrayMap(run -> run.2, arrived), from_number), arrayPushBack(arrayMap(run -> run.1, arrived), beyond))) AS gap
ORDER BY environment, service, sender, first
