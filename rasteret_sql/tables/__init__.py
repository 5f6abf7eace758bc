"""Tables of scenes: Parquet, GeoParquet and Arrow to the scenes of a build."""
