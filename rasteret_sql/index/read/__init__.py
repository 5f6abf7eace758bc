"""Reads scenes and headers from an index: by id, by area, as SQL; and from files that were changed."""
