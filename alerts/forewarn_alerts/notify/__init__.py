"""Where pages go: one module for each kind of target."""
