"""Chooses scenes of one index by conditions, and gives their rows as Arrow and the pixels of areas on them."""
