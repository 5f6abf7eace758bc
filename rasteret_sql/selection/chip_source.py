"""`ChipSource`: reads chips of one size by their numbers, and knows the place of each."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from rasteret_sql.callbacks import Cancelled
from rasteret_sql.errors import RasteretError
from rasteret_sql.geo.grid import Affine
from rasteret_sql.reading.asked_band import Asked
from rasteret_sql.reading.context import ReadContext
from rasteret_sql.reading.options import PixelOptions
from rasteret_sql.reading.sized_chips import (
    Block,
    ChipArrays,
    SceneImage,
    blocks_of,
    image_on,
    own_image,
    read_blocks,
    whole_read,
)

_KEPT = 512
"""Images of scenes that are at hand, with the headers of their files."""
_AT_ONCE = 2048
"""Scenes whose headers are looked up at a time."""


@dataclass(frozen=True, slots=True)
class ChipForm:
    """The form that all chips of a call have."""

    bands: tuple[Asked, ...]
    size: tuple[int, int]
    """Height and width."""
    options: PixelOptions
    grid: tuple[str, Affine] | None
    """CRS and lattice of the grid that all scenes are put on; None: each scene has its own."""
    may_resample: bool
    """True: bands with larger pixels than others are put on the grid of these."""


class SceneImages:
    """The images of scenes by their numbers, looked up when they are first asked for.

    Args:
        ids: of the scenes.
        form: of the chips.
    """

    def __init__(self, ids: Sequence[str], form: ChipForm) -> None:
        self.ids = ids
        self.form = form
        self._kept: OrderedDict[int, SceneImage | RasteretError | None] = OrderedDict()
        self._lock = threading.Lock()

    def at(self, numbers: Iterable[int], context: ReadContext) -> dict[int, SceneImage | RasteretError | None]:
        """Number → image, None where it has no pixel on the grid, or why it cannot be read."""
        wanted = list(dict.fromkeys(numbers))
        with self._lock:
            found = {number: self._kept[number] for number in wanted if number in self._kept}
        missing = [number for number in wanted if number not in found]
        for begin in range(0, len(missing), _AT_ONCE):
            some = missing[begin : begin + _AT_ONCE]
            asked = {number: (self.ids[number], self.form.bands) for number in some}
            distinct = list(dict.fromkeys(asked.values()))
            answers = context.look_up(distinct, self.form.options.collection, context.backend)
            found |= {number: self._image(answers[asked[number]], number, context) for number in some}
        with self._lock:
            self._kept.update({number: found[number] for number in missing})
            while len(self._kept) > max(_KEPT, len(wanted)):
                self._kept.popitem(last=False)
        return found

    def _image(self, sources: object, number: int, context: ReadContext) -> SceneImage | RasteretError | None:
        if isinstance(sources, RasteretError):
            return sources
        assert isinstance(sources, tuple)
        read = whole_read(self.ids[number], sources, context, self.form.options)
        try:
            if self.form.grid is None:
                return own_image(read, may_resample=self.form.may_resample)
            return image_on(read, *self.form.grid)
        except RasteretError as error:
            return error


@dataclass(frozen=True, slots=True, eq=False)
class Piece:
    """The part that one scene gives to chips."""

    scene: int
    """Number of the scene."""
    chips: npt.NDArray[np.int64]
    """Shape (n, 3): number of the chip in the arrays, its first row and first column in the scene's lattice."""


def read_pieces(
    pieces: Iterable[Piece],
    arrays: ChipArrays,
    images: SceneImages,
    context: ReadContext,
    cancelled: Cancelled,
    *,
    tells: bool = False,
) -> Mapping[str, RasteretError]:
    """Read pieces, no two of which are for one pixel.

    Args:
        pieces: a scene each.
        arrays: where their pixels go.
        images: of the scenes.
        context: what they are read with.
        cancelled: the call's flag.
        tells: True: scenes that cannot be read are left out.

    Returns:
        Scene id → why it could not be read.

    Raises:
        RasteretError: a scene cannot be read.
    """
    pieces = list(pieces)
    found = images.at((piece.scene for piece in pieces), context)
    failures: dict[str, RasteretError] = {}
    blocks: list[Block] = []
    for piece in pieces:
        image = found[piece.scene]
        if isinstance(image, RasteretError):
            if not tells:
                raise image
            failures[images.ids[piece.scene]] = image
        elif image is not None:
            blocks += blocks_of(image, piece.chips, images.form.size)
    return failures | read_blocks(blocks, arrays, context, cancelled, tells=tells)
