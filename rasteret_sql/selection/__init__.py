"""Choosing scenes of one index: conditions, the rows that meet them as Arrow, and the pixels of areas on them."""
