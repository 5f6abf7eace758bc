"""Warps pixels onto other grids by GDAL's resampling methods, numpy in and numpy out."""
