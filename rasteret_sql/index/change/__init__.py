"""Builds, appends, refreshes, exports and drops collections."""
