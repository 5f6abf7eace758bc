"""Names the numbers of the TIFF, GeoTIFF and GDAL formats."""

from __future__ import annotations

from types import MappingProxyType

NEW_SUBFILE_TYPE = 254
IMAGE_WIDTH = 256
IMAGE_LENGTH = 257
BITS_PER_SAMPLE = 258
COMPRESSION = 259
PHOTOMETRIC = 262
FILL_ORDER = 266
STRIP_OFFSETS = 273
SAMPLES_PER_PIXEL = 277
ROWS_PER_STRIP = 278
STRIP_BYTE_COUNTS = 279
PLANAR_CONFIGURATION = 284
T4_OPTIONS = 292
PREDICTOR = 317
WHITE_POINT = 318
TILE_WIDTH = 322
TILE_LENGTH = 323
TILE_OFFSETS = 324
TILE_BYTE_COUNTS = 325
SUB_IFDS = 330
INK_SET = 332
EXTRA_SAMPLES = 338
SAMPLE_FORMAT = 339
JPEG_TABLES = 347
JPEG_PROC = 512
JPEG_INTERCHANGE = 513
JPEG_INTERCHANGE_LENGTH = 514
JPEG_RESTART_INTERVAL = 515
JPEG_Q_TABLES = 519
JPEG_DC_TABLES = 520
JPEG_AC_TABLES = 521
YCBCR_COEFFICIENTS = 529
YCBCR_SUBSAMPLING = 530
REFERENCE_BLACK_WHITE = 532
MODEL_PIXEL_SCALE = 33550
MODEL_TIEPOINT = 33922
MODEL_TRANSFORMATION = 34264
GEO_KEY_DIRECTORY = 34735
GEO_DOUBLE_PARAMS = 34736
GEO_ASCII_PARAMS = 34737
GDAL_METADATA = 42112
GDAL_NODATA = 42113
RPC_COEFFICIENTS = 50844

TAG_NAMES = MappingProxyType(
    {
        NEW_SUBFILE_TYPE: "NewSubfileType",
        IMAGE_WIDTH: "ImageWidth",
        IMAGE_LENGTH: "ImageLength",
        BITS_PER_SAMPLE: "BitsPerSample",
        COMPRESSION: "Compression",
        PHOTOMETRIC: "PhotometricInterpretation",
        FILL_ORDER: "FillOrder",
        STRIP_OFFSETS: "StripOffsets",
        SAMPLES_PER_PIXEL: "SamplesPerPixel",
        ROWS_PER_STRIP: "RowsPerStrip",
        STRIP_BYTE_COUNTS: "StripByteCounts",
        PLANAR_CONFIGURATION: "PlanarConfiguration",
        T4_OPTIONS: "T4Options",
        PREDICTOR: "Predictor",
        WHITE_POINT: "WhitePoint",
        TILE_WIDTH: "TileWidth",
        TILE_LENGTH: "TileLength",
        TILE_OFFSETS: "TileOffsets",
        TILE_BYTE_COUNTS: "TileByteCounts",
        SUB_IFDS: "SubIFDs",
        INK_SET: "InkSet",
        EXTRA_SAMPLES: "ExtraSamples",
        SAMPLE_FORMAT: "SampleFormat",
        JPEG_TABLES: "JPEGTables",
        JPEG_PROC: "JPEGProc",
        JPEG_INTERCHANGE: "JPEGInterchangeFormat",
        JPEG_INTERCHANGE_LENGTH: "JPEGInterchangeFormatLength",
        JPEG_RESTART_INTERVAL: "JPEGRestartInterval",
        JPEG_Q_TABLES: "JPEGQTables",
        JPEG_DC_TABLES: "JPEGDCTables",
        JPEG_AC_TABLES: "JPEGACTables",
        YCBCR_COEFFICIENTS: "YCbCrCoefficients",
        YCBCR_SUBSAMPLING: "YCbCrSubSampling",
        REFERENCE_BLACK_WHITE: "ReferenceBlackWhite",
        MODEL_PIXEL_SCALE: "ModelPixelScale",
        MODEL_TIEPOINT: "ModelTiepoint",
        MODEL_TRANSFORMATION: "ModelTransformation",
        GEO_KEY_DIRECTORY: "GeoKeyDirectory",
        GEO_DOUBLE_PARAMS: "GeoDoubleParams",
        GEO_ASCII_PARAMS: "GeoAsciiParams",
        GDAL_METADATA: "GDAL_METADATA",
        GDAL_NODATA: "GDAL_NODATA",
        RPC_COEFFICIENTS: "RPCCoefficient",
    }
)
"""Every tag that is read; all others are skipped, wherever their values lie."""

REDUCED_IMAGE = 1
"""Bit of NewSubfileType: an overview."""
MASK_IMAGE = 4
"""Bit of NewSubfileType: a validity mask."""

PLANAR_CHUNKY = 1
PLANAR_SEPARATE = 2

FORMAT_UINT = 1
FORMAT_INT = 2
FORMAT_FLOAT = 3
FORMAT_VOID = 4
FORMAT_COMPLEX_INT = 5
FORMAT_COMPLEX_FLOAT = 6

NONE = 1
CCITT_RLE = 2
CCITT_GROUP3 = 3
CCITT_GROUP4 = 4
LZW = 5
OLD_JPEG = 6
JPEG = 7
DEFLATE = 8
DEFLATE_OLD = 32946
PACKBITS = 32773
JPEG2000 = 34712
CCITT_RLE_WORDS = 32771
LOGLUV = 34676
LOGLUV24 = 34677
JPEG2000_APERIO_RGB = 33005
LERC = 34887
LZMA = 34925
ZSTD = 50000
WEBP = 50001
JPEGXL = 50002
JPEGXL_DNG = 52546

COMPRESSION_NAMES = MappingProxyType(
    {
        NONE: "none",
        CCITT_RLE: "CCITT modified Huffman RLE",
        CCITT_GROUP3: "CCITT Group 3 fax",
        CCITT_GROUP4: "CCITT Group 4 fax",
        LZW: "LZW",
        OLD_JPEG: "old-style JPEG",
        JPEG: "JPEG",
        DEFLATE: "deflate",
        9: "JBIG (T.85)",
        10: "JBIG (T.43)",
        32766: "NeXT RLE",
        CCITT_RLE_WORDS: "CCITT RLE word-aligned",
        PACKBITS: "PackBits",
        32809: "ThunderScan",
        32909: "PixarLog",
        DEFLATE_OLD: "deflate (old code)",
        33003: "Aperio JPEG 2000 YCbCr",
        33004: "lossy JPEG 2000 (Leica)",
        JPEG2000_APERIO_RGB: "Aperio JPEG 2000 RGB",
        34661: "JBIG",
        LOGLUV: "SGI LogLuv",
        LOGLUV24: "SGI LogLuv 24 bit",
        JPEG2000: "JPEG 2000",
        LERC: "LERC",
        34892: "lossy JPEG of DNG",
        LZMA: "LZMA",
        34926: "old ZSTD",
        34927: "old WebP",
        34933: "PNG",
        34934: "JPEG XR",
        ZSTD: "ZSTD",
        WEBP: "WebP",
        JPEGXL: "JPEG XL",
        JPEGXL_DNG: "JPEG XL (DNG)",
    }
)

PHOTOMETRIC_WHITE = 0
PHOTOMETRIC_BLACK = 1
PHOTOMETRIC_RGB = 2
PHOTOMETRIC_PALETTE = 3
PHOTOMETRIC_MASK = 4
PHOTOMETRIC_CMYK = 5
PHOTOMETRIC_YCBCR = 6
PHOTOMETRIC_CIELAB = 8
PHOTOMETRIC_LOGL = 32844
PHOTOMETRIC_LOGLUV = 32845

PHOTOMETRIC_NAMES = MappingProxyType(
    {PHOTOMETRIC_CMYK: "CMYK", PHOTOMETRIC_YCBCR: "YCbCr", PHOTOMETRIC_CIELAB: "CIELab"}
)
"""Colour models whose samples are converted."""

ALPHA_ASSOCIATED = 1
ALPHA_UNASSOCIATED = 2
