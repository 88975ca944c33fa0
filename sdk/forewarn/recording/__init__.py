"""How a record becomes durable: the spool for calls that may run at once, the round trip for those that may not."""
