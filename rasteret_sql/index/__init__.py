"""Builds, stores, opens, changes and exports collections on disk, and looks scenes up in them."""
