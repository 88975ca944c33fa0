"""Where OTLP comes in: who sends, whether it can be read, and an answer only after the log holds it."""
