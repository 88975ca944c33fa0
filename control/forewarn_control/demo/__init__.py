"""The incident of this field, on one machine: an agent drops a production table, and a human is paged."""
