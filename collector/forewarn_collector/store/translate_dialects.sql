-- Spans with their attributes under the names of the conventions, whatever dialect they came in.
SELECT * EXCEPT (sent, keys, aliases, answers, thought),
    if(said['$reasoning_name'].string_value = '', thought, said['$reasoning_name'].string_value) AS reasoning,
    mapFromArrays(if(dialect = 0, keys, arrayMap(
        (k, n) -> if(n > if(sent_operation = 'execute_tool' OR (sent_operation = '' AND named_call), 0, $last_of_calls)
            AND NOT has(keys, arrayElement($conventional, intDiv(n, 100)))
            AND NOT arrayExists(m -> m < n AND intDiv(m, 100) = intDiv(n, 100), aliases),
            arrayElement($conventional, intDiv(n, 100)), k),
        if(dialect = 0, [], keys), aliases)), mapValues(sent)) AS said
FROM
(
    SELECT *,
        startsWith(span.name, '$span_prefix') AS named_call,
        $operation AS sent_operation,
        -- Per attribute: 100 * column + preference where it is another name for a column's, else 0.
        arrayMap((k, kind, number) -> transform(concat(toString(dialect), if(number < 0, '-', toString(kind)), k), $aliases, $alias_numbers, 0),
            if(dialect = 0, [], keys), if(dialect = 0, [], mapValues(sent).value), if(dialect = 0, [], mapValues(sent).int_value)) AS aliases,
        -- What the model thought, where this is its answer: dialects/tables, `thoughts`.
        scope != '$own_scope' AND sent_operation IN ($model_operations) AS answers,
        arrayStringConcat(arrayFilter(t -> t != '', arrayConcat($thoughts)), '\n') AS thought,
        -- A span that has begun may be told of by one that has ended: dialects/tables, `pending_parent`.
        if(dialect IN ($pending_dialects), sent[$pending_parent].string_value, '') AS pending_parent,
        match(pending_parent, '^[0-9a-f]{16}$$') AS pending
    FROM
    (
        SELECT span, span.attributes AS sent, mapKeys(span.attributes) AS keys, $dialect AS dialect, scope, scope_version,
            service, sender, host, environment, environment_claimed, key_id, received_at, resource
        FROM arrived
    )
)
