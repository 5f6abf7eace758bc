"""Parses TIFF without I/O: bytes → header, or the ranges still missing; bytes of a tile → arrays."""
