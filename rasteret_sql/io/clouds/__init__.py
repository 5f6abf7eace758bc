"""Knows each provider of files, one in a file; `registry.py` lists them."""
