"""STAC API or static catalog → items → scenes, each with the file of every band."""
