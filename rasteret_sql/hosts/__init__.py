"""Gives the functions to hosts, one a file, thin."""
