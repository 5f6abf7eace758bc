"""Defines the contents of an index's files: columns, packed headers, ids, the manifest."""
