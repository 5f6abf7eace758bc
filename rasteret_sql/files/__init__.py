"""Makes scenes of TIFF files that no catalog lists."""
