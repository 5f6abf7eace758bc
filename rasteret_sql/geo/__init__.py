"""Reads geometries in every form they come in, and transforms them between coordinate reference systems."""
