"""Knows the mask bands of products: what clouds, shadows, snow, water and missing pixels are in them.

`data/masks.json` has them, each with its source. Its conditions are SQL over the names that it gives to bands.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources

from rasteret_sql.errors import InvalidArgumentError, name_meant
from rasteret_sql.expr.band_expression import parse_band_expression
from rasteret_sql.expr.tree import Column, Node, Or, renamed
from rasteret_sql.quoting import quote_name

KINDS = ("clouds", "shadows", "snow", "water", "saturated", "aerosols", "nodata")
"""Words of which a mask can be put together with `and`: 'clouds and shadows'."""
_SHOWN = 20
"""Bands of a collection that an error lists, at most."""


@dataclass(frozen=True, slots=True)
class MaskBands:
    """A mask band of a product, or several that go together."""

    product: str
    """For messages."""
    source: str
    """Document that says what its values mean."""
    dataset: tuple[str, ...]
    """Words that the name of the dataset has to have; empty: the names of bands are enough."""
    bands: Mapping[str, tuple[str, ...]]
    """Name in conditions → names under which collections have the band."""
    known_by: tuple[str, ...]
    """Bands, by their names in conditions, that a collection of the product has."""
    kinds: Mapping[str, tuple[str, ...]]
    """Kind → conditions over names in conditions, as SQL, any of which is true for it."""

    def found(self, bands: Sequence[str]) -> dict[str, str]:
        """Name in conditions → band, for those that a collection has; empty where its bands are of another product."""
        there = {role: next((one for one in names if one in bands), None) for role, names in self.bands.items()}
        known = {role: band for role, band in there.items() if band is not None}
        return known if all(role in known for role in self.known_by) else {}


@cache
def mask_bands() -> tuple[MaskBands, ...]:
    """All that are known; of several that fit a collection, the first one holds."""
    text = (resources.files("rasteret_sql.products") / "data" / "masks.json").read_text("utf-8")
    return tuple(
        MaskBands(
            one["product"],
            one["source"],
            tuple(one["dataset"]),
            {role: tuple(names) for role, names in one["bands"].items()},
            tuple(one["known_by"]),
            {kind: tuple(conditions) for kind, conditions in one["kinds"].items()},
        )
        for one in json.loads(text)
    )


def kinds_asked(text: str) -> list[str] | None:
    """The kinds that a mask in words asks for; None where it is no mask in words, but SQL."""
    words = [word.strip() for word in re.split(r"\s+and\s+|,", text.strip(), flags=re.IGNORECASE)]
    found = [name_meant(word, KINDS) for word in words]
    if all(found):
        return [kind for kind in found if kind is not None]
    return None


def mask_condition(kinds: Sequence[str], data_source: str, bands: Sequence[str], where: str) -> Node:
    """The condition for any of some kinds of pixels in a collection.

    Args:
        kinds: of `KINDS`.
        data_source: id of its dataset.
        bands: names of its bands.
        where: the collection, for messages.

    Raises:
        InvalidArgumentError: it has no mask band that tells a kind, as far as is known.
    """
    name = data_source.lower().replace("_", "-")
    fitting = [(one, found) for one in mask_bands() if (found := one.found(bands))]
    there = [(one, found) for one, found in fitting if all(word in name for word in one.dataset)]
    terms: list[Node] = []
    for kind in kinds:
        told = next(filter(None, (_terms(one, kind, found) for one, found in there)), None)
        if told is None:
            why = f"no mask band of {where} tells {kind}: {_told(there)}" if there else _unknown(fitting, where)
            asked = f"mask := '{' and '.join(kinds)}'"
            raise InvalidArgumentError(f"{asked} cannot be used: {why}. {_in_sql(bands)}{'' if fitting else _known()}")
        terms += told
    return terms[0] if len(terms) == 1 else Or(tuple(terms))


def _terms(one: MaskBands, kind: str, found: Mapping[str, str]) -> list[Node]:
    """The conditions for a kind over the bands that a collection has: UDM2.1 has no heavy haze."""
    parsed = [parse_band_expression(condition, "mask") for condition in one.kinds.get(kind, ())]
    names = {role: Column(band) for role, band in found.items()}
    return [renamed(each.node, names) for each in parsed if set(each.bands) <= set(names)]


def _told(there: Sequence[tuple[MaskBands, Mapping[str, str]]]) -> str:
    """The kinds that the mask bands of a collection tell, for messages."""
    return "; ".join(f"that of {one.product} tells {', '.join(one.kinds)}" for one, _ in there)


def _unknown(fitting: Sequence[tuple[MaskBands, Mapping[str, str]]], where: str) -> str:
    """The reason why a collection has no mask band that is known, for messages.

    Args:
        fitting: those of datasets of other names.
        where: the collection.
    """
    if fitting:
        names = " and ".join(f"{one.product} ('{one.dataset[0]}')" for one, _ in fitting)
        band = next(iter(fitting[0][1].values()))
        return f"{band} of {where} is a mask band of {names}, and the id of its dataset does not say of which"
    return f"{where} has no mask band that is known"


def _known() -> str:
    """Lists the products whose mask bands are known, for messages."""
    return f". Known are {'; '.join(f'{one.product} ({one.bands[one.known_by[0]][0]})' for one in mask_bands())}"


def _in_sql(bands: Sequence[str]) -> str:
    """Says how a mask is written over the bands of a collection."""
    shown = ", ".join(bands[:_SHOWN]) + (f" and {len(bands) - _SHOWN} more" if len(bands) > _SHOWN else "")
    band = next((one for one in bands if re.fullmatch(r"[A-Za-z_]\w*", one)), quote_name(bands[0]))
    return (
        f"Say in SQL over its bands ({shown}) what is dropped: '{band} IN (8, 9)' for classes, '({band} & 8) <> 0' for "
        f"a bit, 'qa_bits({band}, 8, 9) = 3' for several"
    )
