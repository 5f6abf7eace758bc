"""Parses SQL text into a checked tree, once, for all that reads it."""
