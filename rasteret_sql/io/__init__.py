"""Reads bytes from anywhere: backends, stores, limits, retries, and the one event loop."""
