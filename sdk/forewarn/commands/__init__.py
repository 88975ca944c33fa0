"""Verbs of the `forewarn` command that need nothing but the base install."""
