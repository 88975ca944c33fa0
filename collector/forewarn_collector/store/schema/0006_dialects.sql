-- Requests of other instrumentations land here; the views behind both landings are made from the tables of dialects.
CREATE TABLE landing_of_dialects AS landing ENGINE = Null;

-- Whose records a call is made of: records with its ids that come with another key, or that tell another digest, can
-- replace what it said in `spans`, and never go unseen here.
ALTER TABLE calls
    ADD COLUMN IF NOT EXISTS keys SimpleAggregateFunction(groupUniqArrayArray, Array(String)) COMMENT 'ids of the ingest keys of its records',
    ADD COLUMN IF NOT EXISTS digests SimpleAggregateFunction(groupUniqArrayArray, Array(String)) COMMENT 'hex, what its records tell';

DROP VIEW IF EXISTS keep_calls SYNC;

CREATE MATERIALIZED VIEW keep_calls TO calls AS
SELECT environment, effect, ts, duration_ns, trace_id, span_id, record, version, if(record = 'start', received_at, NULL) AS recorded_at,
    received_at, status_code, service, tool, agent, agent_path, decision, outcome, error_type,
    [toString(key_id)] AS keys, if(digest = '', [], [digest]) AS digests
FROM arriving_spans
WHERE operation = 'execute_tool';
