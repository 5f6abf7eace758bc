"""Keeps the dbt plugin under the address that dbt profiles name: `module: rasteret_sql.bindings.dbt`."""

from rasteret_sql.hosts.dbt import Plugin

__all__ = ["Plugin"]
