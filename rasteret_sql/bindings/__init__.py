"""Keeps the address of a module that settings of users name."""
