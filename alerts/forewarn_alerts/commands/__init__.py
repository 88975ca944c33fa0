"""The verbs `forewarn rules` and `forewarn notify`."""
