"""Geometries in every form they come in, and coordinate reference systems."""
