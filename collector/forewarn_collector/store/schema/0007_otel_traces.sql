-- As in 0004, but no name is there twice: what the gateway vouches for and what the store has found out (an effect of the
-- tool list, a tool of the span's name) hold against an attribute in which the sender says something else.
DROP VIEW IF EXISTS otel_traces SYNC;

CREATE VIEW otel_traces AS
WITH
    JSONExtract(events, 'Array(Tuple(time_unix_nano UInt64, name String, attributes Map(String, String)))') AS read_events,
    JSONExtract(links, 'Array(Tuple(trace_id String, span_id String, trace_state String, attributes Map(String, String)))') AS read_links
SELECT
    ts AS Timestamp,
    lower(hex(trace_id)) AS TraceId,
    lower(hex(span_id)) AS SpanId,
    if(parent_span_id = toFixedString('', 8), '', lower(hex(parent_span_id))) AS ParentSpanId,
    trace_state AS TraceState,
    name AS SpanName,
    toString(kind) AS SpanKind,
    service AS ServiceName,
    mapUpdate(resource, mapFilter((k, v) -> v != '', map(
        'service.name', toString(service), 'service.instance.id', sender, 'host.name', toString(host),
        'deployment.environment.name', toString(environment_claimed), 'forewarn.environment', toString(environment),
        'forewarn.key_id', toString(key_id)))) AS ResourceAttributes,
    scope AS ScopeName,
    scope_version AS ScopeVersion,
    mapUpdate(attributes, mapFilter((k, v) -> v != '', map(
        'forewarn.record', if(record = 'start', 'start', ''), 'gen_ai.operation.name', toString(operation), 'gen_ai.tool.name', toString(tool),
        'gen_ai.tool.type', toString(tool_type), 'gen_ai.tool.call.id', call_id, 'gen_ai.agent.name', toString(agent),
        'forewarn.agent.path', toString(agent_path), 'gen_ai.tool.call.arguments', arguments, 'gen_ai.tool.call.result', result,
        'forewarn.reasoning', reasoning, 'forewarn.reasoning.span_id', reasoning_span_id, 'forewarn.effect', toString(effect),
        'forewarn.effect.source', toString(effect_source), 'forewarn.call.digest', digest, 'forewarn.decision', toString(decision),
        'forewarn.outcome', toString(outcome), 'error.type', toString(error_type),
        'forewarn.sequence', if(sequence = 0, '', toString(sequence)),
        'forewarn.tool.started_unix_nano', if(toUnixTimestamp64Nano(tool_started_at) = 0, '', toString(toUnixTimestamp64Nano(tool_started_at))),
        'forewarn.acknowledged_unix_nano', if(toUnixTimestamp64Nano(acknowledged_at) = 0, '', toString(toUnixTimestamp64Nano(acknowledged_at))),
        'gen_ai.request.model', toString(model), 'gen_ai.conversation.id', conversation_id,
        'gen_ai.usage.input_tokens', if(input_tokens = 0, '', toString(input_tokens)),
        'gen_ai.usage.output_tokens', if(output_tokens = 0, '', toString(output_tokens))))) AS SpanAttributes,
    duration_ns AS Duration,
    toString(status_code) AS StatusCode,
    status_message AS StatusMessage,
    arrayMap(e -> fromUnixTimestamp64Nano(toInt64(e.time_unix_nano), 'UTC'), read_events) AS `Events.Timestamp`,
    arrayMap(e -> e.name, read_events) AS `Events.Name`,
    arrayMap(e -> e.attributes, read_events) AS `Events.Attributes`,
    arrayMap(l -> l.trace_id, read_links) AS `Links.TraceId`,
    arrayMap(l -> l.span_id, read_links) AS `Links.SpanId`,
    arrayMap(l -> l.trace_state, read_links) AS `Links.TraceState`,
    arrayMap(l -> l.attributes, read_links) AS `Links.Attributes`
FROM spans;
