"""Connects the functions to hosts: DuckDB, dbt, and the database of a Python collection."""
