-- Which traces begin with these hexadecimal digits, newest first.
-- parameter prefix: the beginning of a trace id in hexadecimal
-- parameter limit: how many at most (default 10)
SELECT lower(hex(trace_times.trace_id)) AS trace_id, first_ts AS started
FROM trace_times
WHERE trace_times.trace_id BETWEEN toFixedString(unhex(rightPad({prefix:String}, 32, '0')), 16)
    AND toFixedString(unhex(rightPad({prefix:String}, 32, 'f')), 16)
ORDER BY received_at DESC, started DESC, trace_id
LIMIT {limit:UInt32}
