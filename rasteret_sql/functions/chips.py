"""Declares the functions on CHIPs that are already read."""

from __future__ import annotations

from dataclasses import replace

import pyarrow as pa

from rasteret_sql.functions import types
from rasteret_sql.functions.kinds import FLAG, INTEGER, NUMBER, NUMBERS, POINT, RESOLUTION, SHAPE, TEXT, Kind
from rasteret_sql.functions.spec import Argument, Function, Udf
from rasteret_sql.result_types import CHIP, HISTOGRAM, STATISTICS

_CHIP = Argument("chip", Kind("CHIP"), "a value of read_chip; NULL gives NULL", column=types.AS_CHIP)
_BAND = Argument(
    "band",
    Kind("VARCHAR or INTEGER"),
    "name of a band of the chip, or its number from 1",
    "1",
    column=types.AS_JSON,
)
_POLYGON = "'POLYGON ((-11.5 24.8, -11.4 24.8, -11.4 24.9, -11.5 24.9, -11.5 24.8))'"
_READ = f"read_chip('S2A_29RKH_20200219_0_L2A', 'B04', {_POLYGON})"

_PICTURE = (
    Argument(
        "colormap",
        TEXT,
        "colours of a single band, as matplotlib has them: 'viridis', 'RdYlGn', 'tab20'; or 'ndvi'. With _r behind its "
        "name it is turned round. Not given: grey",
        "NULL",
    ),
    Argument(
        "stretch",
        Kind("VARCHAR, DOUBLE[2] or DOUBLE[2][]"),
        "the values that become black and white: percentiles such as 'p2-p98', [min, max], a list of [min, max] for "
        "each band, or 'none' for values that are levels from 0 to 255, such as classes. Not given: 'p2-p98', and "
        "bytes as they are",
        "NULL",
    ),
    Argument(
        "bands",
        Kind("VARCHAR, INTEGER or list"),
        "one band, or three as red, green and blue, by their names or numbers; not given: the first three, or the "
        "first of fewer",
        "NULL",
    ),
    Argument(
        "size",
        INTEGER,
        "pixels of the longer side: more repeat pixels, fewer average them, or with stretch := 'none' leave some out. "
        "Not given: as the chip has",
        "NULL",
    ),
)
"""Of functions that draw."""
_GRID = (
    Argument(
        "resolution",
        RESOLUTION,
        "size of a pixel in units of the CRS of the result, a number or [x, y]; not given: as many metres as the "
        "chip's pixels have",
        "NULL",
    ),
    Argument("shape", SHAPE, "[height, width] in pixels over the bounds of the chip; not with resolution", "NULL"),
    Argument("align", POINT, "point [x, y] at a corner of pixels; not given: [0, 0]", "NULL"),
    Argument(
        "resampling",
        TEXT,
        "as in read_chip; not given: nearest for bands that are known by their name to hold classes, else bilinear",
        "NULL",
    ),
)
"""Of functions that put chips on other grids."""

WRITTEN = pa.struct([("path", pa.string()), ("size", pa.int64())])
WRITE_BEGIN = Udf("__rasteret_write_begin", (pa.string(), pa.string()), pa.int64(), run="write.begin")
"""(path, JSON of named arguments) → token."""
WRITE_ROW = Udf(
    "__rasteret_write_row",
    (pa.int64(), pa.list_(pa.string()), pa.string(), types.CHIPS, pa.large_binary()),
    WRITTEN,
    run="write.row",
    names_itself=True,
)
"""(token, values of the columns in the path, types of columns that were found, chip, file) → what was written."""

CHIP_FUNCTIONS = (
    Function(
        name="chip_values",
        family="chips",
        body="value",
        arguments=(_CHIP, _BAND),
        returns=pa.list_(pa.float64()),
        doc="Lists the pixels of one band, row by row from the top left; NULL where a pixel is not valid. 64-bit "
        "integers beyond 2^53 are rounded.",
        example=f"SELECT len(chip_values({_READ}))",
        run="chips.values",
        pure=True,
    ),
    Function(
        name="chip_stats",
        family="chips",
        body="value",
        arguments=(_CHIP, _BAND),
        returns=STATISTICS,
        doc="Computes the statistics of zonal_stats over the valid pixels of one band of a chip.",
        example=f"SELECT chip_stats({_READ}, band := 'B04').median",
        run="chips.stats",
        pure=True,
    ),
    Function(
        name="chip_hist",
        family="chips",
        body="field",
        arguments=(_CHIP, _BAND),
        returns=HISTOGRAM,
        doc="Counts the pixels of each class: a MAP from each value of the valid pixels of one band, in ascending "
        "order, to how many have it.",
        example=f"SELECT map_keys(chip_hist({_READ}))[1]",
        run="chips.hist",
        pure=True,
    ),
    Function(
        name="chip_math",
        family="chips",
        body="value",
        arguments=(
            Argument(
                "expression",
                Kind("VARCHAR, list or STRUCT"),
                "expression as a function that reads takes it, such as 'after - before', a list of these, or a STRUCT "
                "that names them; NULL gives NULL",
                column=types.AS_JSON,
            ),
            Argument(
                "chips",
                Kind("CHIP or STRUCT"),
                "a CHIP, of which the expression names bands; or a STRUCT or MAP of CHIPs on one grid, of which it "
                "names these. NULL gives NULL, also for one of them",
                column=types.AS_CHIPS,
            ),
        ),
        returns=CHIP,
        gives="CHIP",
        doc="Computes an expression for each pixel. Over chips of several bands it is computed for each band, and "
        "chips of one band go with all of these. A pixel of which it is NULL is not valid.",
        example=f"SELECT chip_math('after - before', {{'after': {_READ}, 'before': {_READ}}}).dtype",
        run="chips.math",
        pure=True,
    ),
    Function(
        name="chip_mask",
        family="chips",
        body="value",
        arguments=(
            _CHIP,
            Argument(
                "mask",
                Kind("VARCHAR or CHIP"),
                "condition over the bands of the chip, such as 'SCL IN (3, 8, 9)', or words such as 'clouds': where it "
                "is true, no band is valid; or a CHIP on the same grid, of one band or as many: where it is valid and "
                "not 0. NULL gives NULL",
                column=types.AS_CHIPS,
            ),
            Argument("dilate", INTEGER, "pixels by which the mask grows in all directions, 0 (default) to 256", "NULL"),
        ),
        returns=CHIP,
        gives="CHIP",
        doc="Makes pixels of a chip not valid.",
        example=f"SELECT chip_stats(chip_mask({_READ}, 'B04 > 3000')).max",
        run="chips.mask",
        pure=True,
    ),
    Function(
        name="chip_resample",
        family="chips",
        body="value",
        arguments=(
            _CHIP,
            Argument(
                "onto",
                Kind("CHIP"),
                "a chip whose grid it gets, in whatever CRS; in place of the other arguments",
                "NULL",
                column=types.AS_CHIP,
            ),
            *_GRID,
        ),
        returns=CHIP,
        gives="CHIP",
        doc="Puts a chip on pixels of another size or place in its CRS, over all of it, as read_chip does, or on those "
        "of another chip, and NULL where it misses these. A chip of which no grid is asked for stays as it is.",
        example=f"SELECT chip_resample({_READ}, resolution := 200, resampling := 'average').width",
        run="chips.resample",
        pure=True,
    ),
    Function(
        name="chip_reproject",
        family="chips",
        body="value",
        arguments=(
            _CHIP,
            Argument(
                "crs",
                Kind("VARCHAR, INTEGER or PROJJSON"),
                "CRS of the pixels, such as 'EPSG:3857'; NULL gives NULL",
                column=types.AS_JSON,
            ),
            *_GRID,
        ),
        returns=CHIP,
        gives="CHIP",
        doc="Puts a chip in another CRS, over all of it, as read_chip does with crs.",
        example=f"SELECT chip_reproject({_READ}, 'EPSG:3857').crs",
        run="chips.reproject",
        pure=True,
    ),
    Function(
        name="chip_mosaic",
        family="chips",
        body="value",
        arguments=(
            Argument(
                "chips",
                Kind("CHIP[]"),
                "such as list(chip ORDER BY datetime), on one grid and with as many bands; those that are NULL are "
                "left out, and a list without chips gives NULL",
                column=types.AS_CHIP_LIST,
            ),
            Argument(
                "method",
                TEXT,
                "first (default) or last of the chips that have a valid pixel at a place in all bands; best by "
                "best_by; min, max, mean, median, sum or count of those that have one in a band",
                "NULL",
            ),
            Argument(
                "best_by",
                TEXT,
                "with method := 'best' an expression over the bands of each chip: the chip counts of which it is "
                "largest",
                "NULL",
            ),
        ),
        returns=CHIP,
        gives="CHIP",
        doc="Puts chips that lie beside or over each other into one, over the bounds of all. read_mosaic does so from "
        "the files, in bounded memory.",
        example=f"SELECT chip_mosaic([{_READ}, {_READ}], method := 'max').width",
        run="chips.mosaic",
        pure=True,
    ),
    Function(
        name="chip_png",
        family="chips",
        body="value",
        arguments=(
            _CHIP,
            *_PICTURE,
            Argument("vmin", NUMBER, "value shown darkest, in place of the lower end of stretch", "NULL"),
            Argument("vmax", NUMBER, "value shown brightest, in place of its upper end", "NULL"),
        ),
        returns=pa.binary(),
        doc="Draws the chip as a PNG picture: one band grey or in colours, three as red, green and blue; pixels that "
        "are not valid are transparent.",
        example=f"SELECT octet_length(chip_png({_READ}, colormap := 'viridis')) > 0",
        run="chips.png",
        pure=True,
    ),
    Function(
        name="chip_sheet",
        family="chips",
        body="value",
        arguments=(
            Argument(
                "chips",
                Kind("CHIP[]"),
                "such as list(chip ORDER BY datetime); a chip that is NULL leaves its place empty, and a list without "
                "chips gives NULL",
                column=types.AS_CHIP_LIST,
            ),
            Argument(
                "labels",
                Kind("VARCHAR[]"),
                "text under each picture, such as list(id ORDER BY datetime); needs the package pillow",
                "NULL",
                column=types.AS_TEXTS,
            ),
            Argument("columns", INTEGER, "pictures in a row; not given: about as many as there are rows", "NULL"),
            *_PICTURE[:-1],
            replace(
                _PICTURE[-1],
                doc="pixels of the longer side of the largest picture; not given: as the chip has, and small chips are "
                "enlarged",
            ),
        ),
        returns=pa.binary(),
        doc="Draws many chips on one PNG picture, row by row, all with the same stretch: so what is brighter has the "
        "larger value.",
        example=f"SELECT octet_length(chip_sheet([{_READ}, {_READ}], colormap := 'viridis')) > 0",
        run="chips.sheet",
        pure=True,
    ),
    Function(
        name="chip_geotiff",
        family="chips",
        body="value",
        arguments=(_CHIP,),
        returns=pa.binary(),
        doc="Makes a GeoTIFF file of the chip, with its grid, CRS, nodata, mask and band names; write it with "
        "COPY (SELECT chip_geotiff(...)) TO 'chip.tif' (FORMAT blob).",
        example=f"SELECT octet_length(chip_geotiff({_READ})) > 0",
        run="chips.geotiff",
        pure=True,
    ),
    Function(
        name="chip_cog",
        family="chips",
        body="value",
        arguments=(
            _CHIP,
            Argument(
                "compression", TEXT, "'deflate' (default), or 'zstd': faster, and not read by every program", "NULL"
            ),
            Argument("block_size", INTEGER, "pixels of a side of a tile, a multiple of 16; 512 if not given", "NULL"),
            Argument(
                "resampling",
                TEXT,
                "of overviews, such as 'average', 'nearest', 'mode' or 'cubic'; not given: nearest for bands that are "
                "known by their name to hold classes, else average",
                "NULL",
            ),
            Argument(
                "scales",
                NUMBERS,
                "what the file says of its values: units = stored * scale + offset; one scale, or one for each band",
                "NULL",
            ),
            Argument("offsets", NUMBERS, "as scales", "NULL"),
        ),
        returns=pa.binary(),
        doc="Makes a Cloud-Optimized GeoTIFF of the chip: tiles, overviews until one fits into a tile, nodata or a "
        "mask, band names and statistics. Write it with COPY (SELECT chip_cog(...)) TO 'chip.tif' (FORMAT blob), or "
        "many with rasteret_write.",
        example=f"SELECT octet_length(chip_cog({_READ})) > 0",
        run="chips.cog",
        pure=True,
    ),
    Function(
        name="rasteret_write",
        family="chips",
        body="query",
        arguments=(
            Argument(
                "relation",
                Kind("name of a relation", "the name of a table, view, CTE, registered frame or Python variable"),
                "relation with a column chip (or file or picture) of CHIPs, or of BLOBs such as chip_cog and chip_png "
                "give, as a name or as text",
                column=types.AS_TEXT,
            ),
            Argument(
                "path",
                TEXT,
                "path of this machine with columns of the relation in braces: 'out/{id}_{datetime:%Y%m%d}.tif'; what "
                "stands behind a colon is the format of a time. Directories are made",
                column=types.AS_TEXT,
            ),
            Argument("chip_column", TEXT, "name of the column of chips or files, if it is another", "NULL"),
            Argument(
                "format",
                TEXT,
                "of chips: 'cog', 'geotiff' or 'png'; not given: COG for names that end in .tif, PNG for .png",
                "NULL",
            ),
            Argument(
                "overwrite", FLAG, "true (default): replace files that are there; false: that is an error", "NULL"
            ),
        ),
        returns=pa.string(),
        gives="TABLE(path VARCHAR, size BIGINT)",
        doc="Writes a file for each row, and gives its path and size in bytes. Each file is there whole or not at all. "
        "A row without a chip has no file, and its path is NULL; two rows with one path are an error.",
        example=f"WITH read AS (FROM (VALUES ('dunes', {_READ})) AS t(id, chip)) "
        "FROM rasteret_write(read, '${TMP}/{id}.tif')",
        run="write.rasteret_write",
        others=(WRITE_BEGIN, WRITE_ROW),
    ),
)
