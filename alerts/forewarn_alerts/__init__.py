"""Rules in, pages out."""
