"""Fetches, decodes and delivers tiles: each once, in bounded memory, stopped by Ctrl-C."""
