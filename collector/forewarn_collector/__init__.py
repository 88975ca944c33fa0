"""Takes OTLP in, keeps it in a log, puts it into ClickHouse."""
