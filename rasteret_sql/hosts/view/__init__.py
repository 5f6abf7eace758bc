"""Shows collections on a map: tiles for map clients, and a page to look at."""
