"""A next process of the same agent: it starts, sends what an earlier one left, and stops."""

import forewarn

forewarn.configure(service="reader-service")
forewarn.flush(timeout=20)
