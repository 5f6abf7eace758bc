"""Knows each provider of files in a file of its own; `registry.py` lists them."""
