-- Spans of our own SDK, which speaks as the conventions do.
SELECT span, span.attributes AS said, 0 AS dialect, 0 AS pending, '' AS pending_parent,
    said['$operation_name'].string_value AS sent_operation, startsWith(span.name, '$span_prefix') AS named_call,
    said['$reasoning_name'].string_value AS reasoning,
    scope, scope_version, service, sender, host, environment, environment_claimed, key_id, received_at, resource
FROM arrived
