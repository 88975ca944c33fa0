"""The tool list: what tools do to the world, for senders that do not say."""
