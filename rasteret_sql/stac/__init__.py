"""Makes scenes of STAC APIs and static catalogs: items, each with the file of every band."""
