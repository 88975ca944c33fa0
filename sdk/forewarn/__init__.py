"""The flight recorder and the alarm for AI agents."""

from forewarn.agents import agent
from forewarn.configuration import configure, flush, shutdown
from forewarn.errors import ConfigurationError, ForewarnError, NotRecorded, Refusal, Refused
from forewarn.reasoning import reason
from forewarn.tools import tool

__all__ = [
    "ConfigurationError",
    "ForewarnError",
    "NotRecorded",
    "Refusal",
    "Refused",
    "agent",
    "configure",
    "flush",
    "reason",
    "shutdown",
    "tool",
]
