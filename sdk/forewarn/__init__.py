"""The flight recorder and the alarm for AI agents."""
