"""Finds and names collections: workspaces, names, directories here and in object stores."""
