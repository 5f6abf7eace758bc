"""Finds the bands that STAC's common names mean in a collection, by its product or by the keys of its assets.

Sources: the common names of STAC's EO extension; ESA's Sentinel-2 User Handbook; USGS Landsat Collection 2 product
guides; the HLS User Guide V2; MODIS MOD09A1 and MOD13Q1 user guides. Wavelengths are those of spyndex 0.12.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rasteret_sql.errors import name_meant

COMMON_NAMES = (
    "pan", "coastal", "blue", "green", "green05", "yellow", "red", "rededge", "rededge071", "rededge075", "rededge078",
    "nir", "nir08", "nir09", "cirrus", "swir16", "swir22", "lwir", "lwir11", "lwir12",
)  # fmt: skip
"""The common names of STAC."""
_OTHER_KEYS = {
    "rededge1": "rededge071", "rededge2": "rededge075", "rededge3": "rededge078",
    "coastal_blue": "coastal", "green_i": "green05",  # of Planet
}  # fmt: skip
"""Keys of assets that are nearly common names."""
_SENTINEL_2 = {
    "coastal": "B01", "blue": "B02", "green": "B03", "red": "B04", "rededge071": "B05", "rededge075": "B06",
    "rededge078": "B07", "nir": "B08", "nir08": "B8A", "nir09": "B09", "cirrus": "B10", "swir16": "B11",
    "swir22": "B12",
}  # fmt: skip
_OLI = {
    "coastal": "B1", "blue": "B2", "green": "B3", "red": "B4", "nir08": "B5", "swir16": "B6", "swir22": "B7",
    "pan": "B8", "cirrus": "B9", "lwir11": "B10", "lwir12": "B11",
}  # fmt: skip
_TABLES: dict[str, dict[str, str]] = {
    "hls-s30": _SENTINEL_2,
    "hls-l30": {
        "coastal": "B01", "blue": "B02", "green": "B03", "red": "B04", "nir08": "B05", "swir16": "B06",
        "swir22": "B07", "cirrus": "B09", "lwir11": "B10", "lwir12": "B11",
    },
    "sentinel-2": _SENTINEL_2,
    "landsat-c2-l2": _OLI,
    "landsat": _OLI,
    "modis-09": {
        "red": "B01", "nir08": "B02", "blue": "B03", "green": "B04", "swir16": "B06", "swir22": "B07",
    },
    "modis-13": {"red": "RED", "nir08": "NIR", "blue": "BLUE", "swir22": "MIR"},
    "naip": {"red": "R", "green": "G", "blue": "B", "nir": "NIR"},
}  # fmt: skip
"""Product → common name → band."""
_WORDS = {
    "hls-s30": ("hls", "s30"),
    "hls-l30": ("hls", "l30"),
    "sentinel-2": ("sentinel-2",),
    "landsat-c2-l2": ("landsat", "c2", "l2"),
    "landsat": ("landsat",),
    "modis-09": ("modis", "09"),
    "modis-13": ("modis", "13"),
    "naip": ("naip",),
    "aef": ("aef",),
}
"""Product → words that the name of its dataset has."""
_WAVELENGTHS = {
    "sentinel-2": {"G": 559.8, "R": 664.6, "N": 832.8, "N2": 864.7, "S1": 1613.7, "S2": 2202.4},
    "landsat": {"G": 560.0, "R": 655.0, "N": 865.0, "N2": 865.0, "S1": 1610.0, "S2": 2200.0},
    "modis-09": {"G": 555.0, "R": 645.0, "N": 858.5, "N2": 858.5, "S1": 1640.0, "S2": 2130.0},
}
_SAME_SENSOR = {"hls-s30": "sentinel-2", "hls-l30": "landsat", "landsat-c2-l2": "landsat"}


def product_of(data_source: str, bands: Sequence[str]) -> str:
    """The product of a collection, by the name of its dataset, else by its bands; empty where neither tells.

    Args:
        data_source: id of the dataset, such as `earthsearch/sentinel-2-l2a`.
        bands: names of the bands of the collection.
    """
    name = data_source.lower().replace("_", "-")
    for product, words in _WORDS.items():
        if all(word in name for word in words):
            return product
    if {"B8A", "B04"} <= set(bands) and "Fmask" not in bands:
        return "sentinel-2"
    if "SR_B4" in bands:
        return "landsat-c2-l2"
    return ""


def common_names(bands: Sequence[str], product: str, assets: Mapping[str, str]) -> dict[str, str]:
    """Common name → the band of a collection that it means, for those that it has.

    Args:
        bands: names of the bands of the collection.
        product: of `product_of`.
        assets: band → key of its asset, as far as they are known.
    """
    found: dict[str, str] = {}
    for band in bands:
        key = assets.get(band, band)
        name = name_meant(_OTHER_KEYS.get(key.lower(), key), COMMON_NAMES)
        if name is not None:
            found.setdefault(name, band)
    named = set(found.values())
    for name, written in _TABLES.get(product, {}).items():
        there = [one for one in (written, f"SR_{written}", f"ST_{written}") if one in bands]
        if there and there[0] not in named:
            found.setdefault(name, there[0])
    return found


def wavelength(product: str, letter: str) -> float | None:
    """Central wavelength in nanometres of a band of spyndex, by its letter; None where it is not known."""
    return _WAVELENGTHS.get(_SAME_SENSOR.get(product, product), {}).get(letter)
