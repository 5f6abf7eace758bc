"""Runs the `rasteret-sql` command: a DuckDB shell that knows rasters, and the demo."""
