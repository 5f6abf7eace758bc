"""Makes scenes of tables: Parquet, GeoParquet and Arrow to the scenes of a build."""
