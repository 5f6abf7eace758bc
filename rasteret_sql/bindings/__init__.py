"""Hosts of the functions, one a file, thin."""
