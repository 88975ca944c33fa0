"""The collector's verbs of the `forewarn` command."""
