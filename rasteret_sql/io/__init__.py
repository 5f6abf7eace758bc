"""How bytes arrive: backends, stores, limits, retries, and the one event loop."""
