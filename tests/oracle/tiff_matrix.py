"""A deterministic covering array of GeoTIFF properties, and the GDAL files that have them.

Every pair of values of two properties that one file can have is in each pass; passes repeat with new seeds until there
are as many files as asked for.
"""

import itertools
import random
import warnings
from functools import cache

import numpy as np
import rasterio
from affine import Affine
from rasterio.io import MemoryFile

WIDTH, HEIGHT = 53, 37

PROPERTIES = {
    "order": ("LITTLE", "BIG"),
    "bigtiff": ("NO", "YES"),
    "layout": ("tiles16", "tiles32x16", "rows1", "rows5", "rows8", "onestrip"),
    "sample": (
        "uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "int64", "float16", "float32", "float64",
        "bits1", "bits2", "bits4", "bits7", "bits12", "bits15", "bits20", "bits24",
    ),
    "compression": (
        "NONE", "LZW", "DEFLATE", "PACKBITS", "LZMA", "ZSTD", "LERC", "LERC_DEFLATE", "LERC_ZSTD", "JPEG", "WEBP",
    ),
    "predictor": (1, 2, 3),
    "interleave": ("PIXEL", "BAND"),
    "samples": (1, 2, 3, 4, 6),
    "validity": ("none", "nodata", "odd_nodata", "mask", "mask_nodata", "alpha", "alpha_nodata"),
    "overviews": ((), (2,), (2, 4)),
    "sparse": (False, True),
    "georeference": ("north", "south", "rotated", "point", "none"),
}  # fmt: skip
NAMES = tuple(PROPERTIES)

_WIDE = ("LZW", "DEFLATE", "ZSTD")


def possible(row):
    """Whether GDAL can write such a file; works on partial rows too."""
    get = row.get
    sample, compression, predictor = get("sample"), get("compression"), get("predictor")
    bits = sample is not None and sample.startswith("bits")
    special = bits or sample == "float16"
    if predictor not in (None, 1):
        if compression is not None and compression not in _WIDE:
            return False
        if bits or (predictor == 3 and sample is not None and not sample.startswith("float")):
            return False
    if compression in ("JPEG", "WEBP") and sample not in (None, "uint8"):
        return False
    if compression == "JPEG":
        if get("layout") in ("rows1", "rows5"):
            return False  # strips of JPEG have a multiple of 8 rows
        if get("samples") == 6 and get("interleave") == "PIXEL":
            return False
    if compression == "WEBP" and (get("samples") not in (None, 3, 4) or get("interleave") == "BAND"):
        return False
    if (compression or "").startswith("LERC") and (special or sample in ("int64", "uint64")):
        return False
    validity = get("validity") or ""
    if validity.startswith("alpha") and get("samples") == 1:
        return False
    # GDAL 3.10 never ends building overviews of 64-bit integers that have nodata.
    return not ("nodata" in validity and sample in ("int64", "uint64") and get("overviews"))


def rows(count, seed=0):
    """At least `count` rows that cover every possible pair, in passes; the same ones for the same arguments."""
    found = []
    while len(found) < count:
        found += _covering(random.Random(seed + len(found)))
    return found


@cache
def feasible_pairs():
    """All ((name, value), (name, value)) that some row has."""
    pairs = set()
    for one, two in itertools.combinations(NAMES, 2):
        for pair in itertools.product(PROPERTIES[one], PROPERTIES[two]):
            start = dict(zip((one, two), pair, strict=True))
            if _complete(start, random.Random(0)) is not None:
                pairs.add(tuple(start.items()))
    return frozenset(pairs)


def pairs_of(row):
    return {((a, row[a]), (b, row[b])) for a, b in itertools.combinations(NAMES, 2)}


def _covering(rng):
    """One pass: greedy, each row the best of some random completions of a pair not covered yet."""
    open_pairs = sorted(feasible_pairs(), key=repr)
    rng.shuffle(open_pairs)
    left = dict.fromkeys(open_pairs)
    made = []
    while left:
        start = dict(next(iter(left)))
        options = [row for _ in range(8) if (row := _complete(start, rng)) is not None]
        best = max(options, key=lambda row: sum(pair in left for pair in pairs_of(row)))
        made.append(best)
        for pair in pairs_of(best):
            left.pop(pair, None)
    return made


def _complete(start, rng, tries=40):
    for _ in range(tries):
        row = dict(start)
        if not possible(row):
            return None
        for name in rng.sample(NAMES, len(NAMES)):
            if name in row:
                continue
            allowed = [value for value in PROPERTIES[name] if possible({**row, name: value})]
            if not allowed:
                break
            row[name] = rng.choice(allowed)
        else:
            return {name: row[name] for name in NAMES}
    return None


def write(row, seed):
    """Bytes of a file that GDAL writes for a row.

    Raises:
        rasterio.errors.RasterioError: GDAL refuses the combination.
    """
    rng = np.random.default_rng(seed)
    sample = row["sample"]
    bits = int(sample[4:]) if sample.startswith("bits") else None
    dtype = {"float16": "float32"}.get(sample, sample) if bits is None else _unsigned(bits)
    profile = {
        "driver": "GTiff",
        "width": WIDTH,
        "height": HEIGHT,
        "count": row["samples"],
        "dtype": dtype,
        "ENDIANNESS": row["order"],
        "BIGTIFF": row["bigtiff"],
        "COMPRESS": row["compression"],
        "INTERLEAVE": row["interleave"],
        **_layout(row["layout"]),
    }
    if row["predictor"] != 1:
        profile["PREDICTOR"] = row["predictor"]
    if bits is not None or sample == "float16":
        profile["NBITS"] = bits or 16
    if row["sparse"]:
        profile["SPARSE_OK"] = "TRUE"
    if row["compression"].startswith("WEBP"):
        profile["WEBP_LOSSLESS"] = rng.choice(["TRUE", "FALSE"])
    validity = row["validity"]
    if validity.startswith("alpha"):
        profile["ALPHA"] = "YES"
        if row["samples"] in (3, 4) and rng.random() < 0.5 and np.dtype(dtype).kind == "u":
            profile["PHOTOMETRIC"] = "RGB" if row["samples"] == 4 else "MINISBLACK"
    nodata = _nodata(validity, np.dtype(dtype), bits, rng)
    if nodata is not None:
        profile["nodata"] = nodata
    if row["georeference"] != "none":
        profile |= {"crs": "EPSG:32633", "transform": TRANSFORMS[row["georeference"]]}
    data = _pixels(row, np.dtype(dtype), bits, nodata, rng)
    env = {"GDAL_TIFF_INTERNAL_MASK": "YES", "GDAL_NUM_THREADS": "1"}
    with warnings.catch_warnings(), rasterio.Env(**env), MemoryFile() as file:
        warnings.simplefilter("ignore")
        with file.open(**profile) as target:
            if row["georeference"] == "point":
                target.update_tags(AREA_OR_POINT="Point")
            if row["sparse"]:
                part = rasterio.windows.Window(0, 0, 20, 20)
                target.write(data[:, :20, :20], window=part)
            else:
                target.write(data)
            if validity.startswith("mask"):
                target.write_mask(rng.random((HEIGHT, WIDTH)) < 0.7)
        if row["overviews"]:
            with rasterio.open(file.name, "r+") as target:
                target.build_overviews(row["overviews"], rasterio.enums.Resampling.nearest)
        return file.read()


TRANSFORMS = {
    "north": Affine(10, 0, 500000, 0, -10, 4600000),
    "south": Affine(10, 0, 500000, 0, 10, 4500000),
    "rotated": Affine(8, 3, 500000, 2, -9, 4600000),
    "point": Affine(10, 0, 500000, 0, -10, 4600000),
}


def _unsigned(bits):
    return "uint8" if bits <= 8 else "uint16" if bits <= 16 else "uint32"


def _layout(layout):
    if layout == "tiles16":
        return {"TILED": "YES", "BLOCKXSIZE": 16, "BLOCKYSIZE": 16}
    if layout == "tiles32x16":
        return {"TILED": "YES", "BLOCKXSIZE": 32, "BLOCKYSIZE": 16}
    return {"TILED": "NO", "BLOCKYSIZE": {"rows1": 1, "rows5": 5, "rows8": 8, "onestrip": HEIGHT}[layout]}


def _nodata(validity, dtype, bits, rng):
    if validity in ("nodata", "mask_nodata", "alpha_nodata"):
        return 1 if bits == 1 else 3
    if validity != "odd_nodata":
        return None
    if dtype.kind == "f":
        return float(rng.choice([np.nan, np.inf, -np.inf]))
    return {"uint64": 18446744073709551615, "int64": -9223372036854775808}.get(dtype.name, int(np.iinfo(dtype).max))


def _pixels(row, dtype, bits, nodata, rng):
    shape = (row["samples"], HEIGHT, WIDTH)
    if dtype.kind == "f":
        # Halves that are float16 already: GDAL writes others with a rounding of its own.
        data = np.cumsum(rng.normal(0, 4, shape), axis=2).astype("f2" if row["sample"] == "float16" else dtype)
        data[rng.random(shape) < 0.05] = np.nan
        data[rng.random(shape) < 0.05] = np.inf
        data[rng.random(shape) < 0.05] = -np.inf
        data = data.astype(dtype)
    else:
        info = np.iinfo(dtype)
        high = (1 << bits) - 1 if bits else info.max
        low = 0 if bits else info.min
        data = rng.integers(low, high, shape, dtype, endpoint=True)
        smooth = (np.cumsum(rng.integers(0, 3, shape), axis=2) % (min(high, 250) + 1)).astype(dtype)
        data = np.where(rng.random(shape) < 0.2, data, smooth)
    if nodata is not None:
        data[rng.random(shape) < 0.2] = nodata
    if row["validity"].startswith("alpha"):
        data[-1][rng.random(shape[1:]) < 0.5] = 0
    return data
