"""Computes chips, statistics and points from a request: values and numpy in, Arrow out."""
