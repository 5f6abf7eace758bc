"""SQL text to a checked tree, once, for all that reads it."""
