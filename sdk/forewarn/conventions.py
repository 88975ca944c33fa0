"""
The wire contract of the whole system: attribute names, their value sets, topics and headers, each written once.

Names that start with `gen_ai.`, `service.`, `deployment.`, `error.`, `host.` or `process.` are OpenTelemetry's; the
installed constants of the GenAI conventions are all marked as moved, so they are kept here
(https://github.com/open-telemetry/semantic-conventions-genai). Names that start with `forewarn.` are ours.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final

# --- OpenTelemetry: resource ----------------------------------------------------------------------
SERVICE_NAME: Final = "service.name"
SERVICE_INSTANCE_ID: Final = "service.instance.id"
"""Names one sender: one process's lifetime. `forewarn.sequence` counts within it."""
DEPLOYMENT_ENVIRONMENT_NAME: Final = "deployment.environment.name"
"""What the process claims; the gateway's own finding is beside it (`Stamp.ENVIRONMENT`)."""
DEPLOYMENT_ENVIRONMENT: Final = "deployment.environment"
"""The name of the same before semantic conventions 1.27; still sent by many."""
HOST_NAME: Final = "host.name"
PROCESS_PID: Final = "process.pid"
SDK_NAME: Final = "telemetry.sdk.name"
SDK_VERSION: Final = "telemetry.sdk.version"

# --- OpenTelemetry: GenAI spans -------------------------------------------------------------------
OPERATION_NAME: Final = "gen_ai.operation.name"
TOOL_NAME: Final = "gen_ai.tool.name"
TOOL_TYPE: Final = "gen_ai.tool.type"
TOOL_CALL_ID: Final = "gen_ai.tool.call.id"
TOOL_CALL_ARGUMENTS: Final = "gen_ai.tool.call.arguments"
"""JSON text of one object, parameter name -> value; redacted and capped."""
TOOL_CALL_RESULT: Final = "gen_ai.tool.call.result"
"""JSON text; redacted and capped."""
AGENT_NAME: Final = "gen_ai.agent.name"
CONVERSATION_ID: Final = "gen_ai.conversation.id"
REQUEST_MODEL: Final = "gen_ai.request.model"
INPUT_TOKENS: Final = "gen_ai.usage.input_tokens"
OUTPUT_TOKENS: Final = "gen_ai.usage.output_tokens"
ERROR_TYPE: Final = "error.type"

# --- Forewarn: spans ------------------------------------------------------------------------------
RECORD: Final = "forewarn.record"
"""`start` on a record exported when its span starts (end time 0); absent on a finished span. Values: `RecordKind`."""
SEQUENCE: Final = "forewarn.sequence"
"""int, 1, 2, 3 ... per sender (`service.instance.id`), one for every record."""
AGENT_PATH: Final = "forewarn.agent.path"
"""Outermost agent first, joined by `AGENT_PATH_SEPARATOR`: `janitor > cleaner`."""
TASK: Final = "forewarn.agent.task"
"""On an agent's span: what it was told to do; redacted and capped."""
EFFECT: Final = "forewarn.effect"
EFFECT_SOURCE: Final = "forewarn.effect.source"
CALL_DIGEST: Final = "forewarn.call.digest"
"""64 hex digits: SHA-256 over the RFC 8785 form of {tool, arguments, agent path, environment}, before redaction."""
REASONING: Final = "forewarn.reasoning"
"""On a tool call: the reasoning that led to it. On a reasoning span: its text."""
REASONING_SPAN_ID: Final = "forewarn.reasoning.span_id"
REASONING_AT: Final = "forewarn.reasoning.unix_nano"
"""int; on a tool call, the sender's clock when that reasoning was written down."""
OUTCOME: Final = "forewarn.outcome"
"""How a call ended; only on its end record. Values: `Outcome`."""
ACKNOWLEDGED_AT: Final = "forewarn.acknowledged_unix_nano"
"""int; the sender's clock when the acknowledgement arrived; on the end record of an acknowledged call."""
TOOL_STARTED_AT: Final = "forewarn.tool.started_unix_nano"
"""int; the sender's clock right before the tool's own code ran; on the end record."""
DECISION: Final = "forewarn.decision"
REDACTED: Final = "forewarn.redacted"
"""int; how many values of this record were replaced by a redaction mark; absent when none."""
TRUNCATED: Final = "forewarn.truncated"
"""int; how many values of this record were cut to the caps; absent when none."""

PENDING_PARENT_ID: Final = "forewarn.pending_parent_id"
"""On a span without duration that stands for the start of the span above it: the parent of that one, 16 hex digits."""

SENDER_EVENT: Final = "forewarn.sender.event"
"""On a record about the sender itself (`OPERATION_SENDER`): what happened to it. Values: `SenderEvent`."""
SENDER_ISSUED: Final = "forewarn.sender.issued"
"""int; on such a record, the highest `forewarn.sequence` given out so far, this record's own included."""
SENDER_WAITING_BYTES: Final = "forewarn.sender.waiting_bytes"
"""int; on such a record, what of this sender is spooled and not known to have arrived."""
SENDER_HEARTBEAT: Final = "forewarn.sender.heartbeat_seconds"
"""int; on such a record, how long a living sender stays silent at most."""
LOST_SEQUENCES: Final = "forewarn.lost.sequences"
"""On a loss record (`OPERATION_LOSS`): the numbers of this sender that will never come, as ranges: `17-40,52`."""
LOST_COUNT: Final = "forewarn.lost.count"
"""int; how many those are."""
LOST_REASON: Final = "forewarn.lost.reason"
"""Why. Values: `LossReason`."""
LOST_EFFECT: Final = "forewarn.lost.effect"
"""The gravest effect among the calls whose records were lost. Values: `Effect`."""

AGENT_PATH_SEPARATOR: Final = " > "

OPERATION_EXECUTE_TOOL: Final = "execute_tool"
OPERATION_INVOKE_AGENT: Final = "invoke_agent"
OPERATION_REASON: Final = "reason"
"""The GenAI conventions have no span for a reasoning step; this one is ours."""
OPERATION_SENDER: Final = "sender"
"""A sender's own start, heartbeat and stop; span name `sender {event}`, all of one sender in a trace of its own."""
OPERATION_LOSS: Final = "loss"
"""The scar that lost records leave in the sequence; span name `loss`, in the sender's own trace."""


class RecordKind(StrEnum):
    """What a record says of its span."""

    START = "start"
    END = "end"


class Effect(StrEnum):
    """What a call may do to the world. Unknown counts as destructive."""

    READ = "read"
    WRITE = "write"
    DESTRUCTIVE = "destructive"
    UNKNOWN = "unknown"


class EffectSource(StrEnum):
    """Where the effect of a call was learned."""

    DECLARED = "declared"
    """By the tool itself, in its code."""
    TOOL_LIST = "tool_list"
    """By the server's tool list (`tools.yaml`)."""
    UNDECLARED = "undeclared"


class Outcome(StrEnum):
    """Every way out of a call; `ok` is never assumed."""

    OK = "ok"
    ERROR = "error"
    REFUSED = "refused"
    CANCELLED = "cancelled"
    NOT_OBSERVED = "not_observed"


class SenderEvent(StrEnum):
    """What a sender says of itself, so that its silence has edges."""

    START = "start"
    HEARTBEAT = "heartbeat"
    STOP = "stop"


class LossReason(StrEnum):
    """Why records will never come."""

    SPOOL_FULL = "spool_full"
    """The spool's bound was reached; the oldest `read` records went first."""
    SPOOL_UNAVAILABLE = "spool_unavailable"
    """The spool's disk did not take them."""
    DAMAGED = "damaged"
    """The disk returned something else than it was given."""
    NOT_BUILT = "not_built"
    """The record could not be made."""
    NOT_TAKEN = "not_taken"
    """The gateway refuses them for good."""


class Decision(StrEnum):
    """What the control API says of a call before it runs."""

    ALLOW = "allow"
    ASK = "ask"
    DENY = "deny"
    DRY_RUN = "dry_run"


class Environment(StrEnum):
    """OpenTelemetry's four well-known values of `deployment.environment.name`."""

    DEVELOPMENT = "development"
    TEST = "test"
    STAGING = "staging"
    PRODUCTION = "production"


ENVIRONMENT_ALIASES: Final = {
    "prod": "production",
    "prd": "production",
    "live": "production",
    "stage": "staging",
    "stg": "staging",
    "dev": "development",
    "local": "development",
    "testing": "test",
    "ci": "test",
}


def environment_name(claimed: str | None) -> str:
    """The well-known name of a claimed environment; an unknown one is kept as it is (lower case), none is ''."""
    name = (claimed or "").strip().lower()
    return ENVIRONMENT_ALIASES.get(name, name)


def is_production(environment: str | None) -> bool:
    """Whether to be as strict as in production: true for production and for every unknown, misspelt or absent name."""
    return environment_name(environment) not in {Environment.DEVELOPMENT, Environment.TEST, Environment.STAGING}


# --- the wire -------------------------------------------------------------------------------------
class Topic(StrEnum):
    """The log's topics."""

    STARTS = "otlp_spans.starts"
    """Start records in their own small requests, so that bulk never delays an alarm."""
    SPANS = "otlp_spans"
    """Everything else. Both hold one ExportTraceServiceRequest a record: `otlp_proto`"""
    EVENTS = "forewarn_events"
    """Incidents and deliveries, one JSON object a record."""
    DEAD_LETTERS = "otlp_spans.dead_letters"


class Stamp(StrEnum):
    """Headers of a log record: what the gateway knows for certain, whatever the sender says."""

    ENVIRONMENT = "forewarn.environment"
    KEY_ID = "forewarn.key_id"
    RECEIVED_AT = "forewarn.received_unix_nano"
    """ASCII decimal."""


TRACES_PATH: Final = "/v1/traces"
INTENTS_PATH: Final = "/v1/intents"
LANE_HEADER: Final = "x-forewarn-lane"
"""HTTP request header: `starts` asks for the lane of start records. It moves a record ahead, it proves nothing."""
LANE_STARTS: Final = "starts"
KEY_PREFIX: Final = "fwk"
"""An ingest key reads `fwk_<environment>_<id>_<secret>`; `<environment>_<id>` is its public id."""
