"""Parses conditions in SQL to a checked tree, which all their readers share."""
