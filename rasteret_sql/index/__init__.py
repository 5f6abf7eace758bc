"""Collections on disk: building, storing, opening, looking up and exporting them."""
