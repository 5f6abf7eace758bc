"""Finds out what is meant by a band that a call asks for: a band of the collection, or how to compute it from bands."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from rasteret_sql.errors import RasteretError, UnknownBandError, did_you_mean, name_meant
from rasteret_sql.expr.band_expression import BandExpression, parse_band_expression
from rasteret_sql.expr.tree import Column, Node, renamed
from rasteret_sql.products.common_names import common_names, product_of
from rasteret_sql.products.indices import index_meant, indices
from rasteret_sql.products.masks import KINDS, kinds_asked, mask_condition
from rasteret_sql.reading.asked_band import Asked, AskedBand
from rasteret_sql.reading.derived_band import Recipe
from rasteret_sql.reading.resolve import one_of_bands


@dataclass(frozen=True, slots=True)
class MeantBand:
    """A band of a collection, or a recipe over several."""

    bands: tuple[str, ...]
    """Names of the bands that are read."""
    recipe: Recipe | None = None
    """How they are put together; None: the one band as it is."""
    nodata: float | None = None
    """In place of that of the files."""
    gcp: str | None = None
    """How ground control points place the pixels."""


class BandNames:
    """The names by which the bands of a collection can be asked for.

    Args:
        bands: its own names.
        where: the collection, for messages.
        data_source: id of its dataset.
        assets: gives band → key of its asset, as far as they are known; asked where other names do not help.
    """

    def __init__(
        self,
        bands: Sequence[str],
        where: str,
        data_source: str = "",
        assets: Callable[[], Mapping[str, str]] = dict,
    ) -> None:
        self.bands = bands
        self.where = where
        self._data_source = data_source
        self._assets = assets

    @cached_property
    def product(self) -> str:
        """The product whose conventions hold; empty where none is known."""
        return product_of(self._data_source, self.bands)

    @cached_property
    def common(self) -> dict[str, str]:
        """Common name → band."""
        return common_names(self.bands, self.product, self._assets())

    @cached_property
    def of_indices(self) -> dict[str, str]:
        """Name that an index can have for a band → the band; names of radar bands stand for themselves."""
        return {band: band for band in self.bands} | self.common

    def meant(self, asked: Asked) -> MeantBand:
        """Find the band that is asked for, or how it is computed.

        Raises:
            UnknownBandError: there is no such band.
            InvalidArgumentError: an expression or a mask cannot be read.
        """
        if not isinstance(asked, AskedBand):
            asked = AskedBand(asked)
        node, text = self._node(asked.band)
        if isinstance(node, Column) and asked.mask is None and asked.fill is None and not asked.scaled:
            recipe = None if asked.name in (None, node.name) else Recipe(asked.name or "", node)
            return MeantBand((node.name,), recipe, asked.nodata, asked.gcp)
        mask = None if asked.mask is None else self._mask(asked.mask)
        recipe = Recipe(asked.name or text, node, mask, asked.dilate, asked.scaled, self.product, asked.fill)
        return MeantBand(recipe.bands, recipe, asked.nodata, asked.gcp)

    def _node(self, band: str | int) -> tuple[Node, str]:
        """The expression that a band stands for, by the names of the collection, and what it is called."""
        name = one_of_bands(band, self.bands, self.where) if isinstance(band, int) else self.band(band)
        if name is not None:
            return Column(name), name
        text = str(band)
        index = index_meant(text)
        if index is not None:
            return index.of(self.of_indices, self.product, self.where), index.name
        try:
            expression = parse_band_expression(text)
        except RasteretError:
            if is_name(text):
                raise self.unknown(text) from None
            raise
        if isinstance(expression.node, Column):
            raise self.unknown(text)
        return self._in(expression), expression.text

    def _mask(self, text: str) -> Node:
        """The condition of a mask, in SQL or in words."""
        kinds = kinds_asked(text)
        if kinds is None:
            try:
                return self._in(parse_band_expression(text, "mask"))
            except UnknownBandError as error:
                words = ", ".join(KINDS)
                raise UnknownBandError(f"{error}. A mask can be words, too: {words}, joined by and") from None
        return mask_condition(kinds, self._data_source, self.bands, self.where)

    def band(self, name: str) -> str | None:
        """The band of a name: its own, else its common name; None where there is none."""
        return name_meant(name, self.bands) or self.common.get(name.lower())

    def true_colour(self) -> tuple[str, ...] | None:
        """The bands of red, green and blue; None where one of them is missing."""
        found = [self.band(name) for name in ("red", "green", "blue")]
        there = tuple(band for band in found if band is not None)
        return there if len(there) == len(found) else None

    def unknown(self, name: str, place: str = "") -> UnknownBandError:
        """The error of a name that no band has."""
        near = did_you_mean(name, self.bands)
        if not near.startswith("did you mean"):
            others = difflib.get_close_matches(name.lower(), self.common, 1, _ALIKE)
            others = others or difflib.get_close_matches(name.upper(), indices(), 1, _ALIKE)
            near = f'did you mean "{others[0]}"? {near}' if others else near
        return UnknownBandError(f'unknown band "{name}"{place} in {self.where}; {near}')

    def _in(self, expression: BandExpression) -> Node:
        """An expression by the names of the collection."""
        names: dict[str, Node] = {}
        for written in expression.bands:
            found = self.band(written)
            if found is not None:
                names[written] = Column(found)
                continue
            index = index_meant(written)
            if index is None:
                raise self.unknown(written, f"{expression.place_of(written)} of '{expression.text}'")
            names[written] = index.of(self.of_indices, self.product, self.where)
        return renamed(expression.node, names)


_ALIKE = 0.75
"""Part of the letters of a common name or index that a name may be a misspelling of."""
_WORDS = re.compile(r"(^|\s)(IS|NOT|AND|OR|IN|BETWEEN|LIKE|CASE|SELECT|INTERVAL)\s", re.IGNORECASE)
"""Words of SQL that stand in no name."""


def is_name(text: str) -> bool:
    """True for texts without what only expressions have."""
    return not any(one in text for one in (*"+*/%()<>=&|~'\";?[]{},", "::")) and not _WORDS.search(text)
