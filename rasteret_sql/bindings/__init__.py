"""Keeps the addresses that hosts' own settings name, while rooms are renamed."""
