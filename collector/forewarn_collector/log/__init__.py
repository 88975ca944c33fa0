"""Where a record is durable before anyone is told that it was taken; one folder a side, one contract for all."""
