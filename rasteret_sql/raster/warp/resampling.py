"""Names the resampling methods, as GDAL does, and how far each reaches."""

from __future__ import annotations

RESAMPLINGS = (
    "nearest",
    "bilinear",
    "cubic",
    "cubic_spline",
    "lanczos",
    "average",
    "mode",
    "min",
    "max",
    "med",
    "q1",
    "q3",
    "sum",
    "rms",
)
"""All methods, by the names of rasterio."""

INTERPOLATIONS = ("bilinear", "cubic")
"""Those that give a value between pixels at a point."""

RADIUS = {"nearest": 0, "bilinear": 1, "cubic": 2, "cubic_spline": 2, "lanczos": 3}
"""Source pixels that the kernel of a method at points reaches to each side, at full scale; others are over areas."""
