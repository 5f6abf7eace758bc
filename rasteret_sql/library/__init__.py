"""Works on collections as a whole: build, append, refresh, register, search, probe, settings."""
