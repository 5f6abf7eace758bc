"""Holds all that one DuckDB database, or one Python collection, has open: its session."""
