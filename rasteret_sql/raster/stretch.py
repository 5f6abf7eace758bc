"""`Stretch`: says which values of a band become black and white in a picture."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from rasteret_sql.errors import InvalidArgumentError

Pixels = npt.NDArray[Any]
Limits = tuple[float, float]
"""The values that become black and white; the first may be the larger one."""

_SAMPLE = 1_000_000
"""Pixels from which percentiles are taken, at most: evenly spaced ones of a larger image."""
_PERCENTILES = re.compile(r"p(\d+(?:\.\d+)?)-p(\d+(?:\.\d+)?)")
_AS_STORED = (0.0, 255.0)
_EXPECTED = "expected 'p2-p98', [min, max], a list of [min, max] for each band, or 'none'"


@dataclass(frozen=True, slots=True)
class Stretch:
    """The rule by which the limits of each band are found."""

    percentiles: Limits = (2.0, 98.0)
    """Of the valid pixels, 0..100."""
    limits: tuple[Limits, ...] = ()
    """One for all bands, or one for each; empty: by the percentiles."""
    keeps_bytes: bool = True
    """True: uint8 is shown as it is, not by the percentiles."""
    low: float | None = None
    """In place of the lower limit."""
    high: float | None = None
    """In place of the upper limit."""

    @property
    def is_of_levels(self) -> bool:
        """True where values are levels from 0 to 255 themselves, as those of classes."""
        return self.limits == (_AS_STORED,)

    @classmethod
    def of(cls, given: Any, low: float | None = None, high: float | None = None) -> Stretch:
        """Read what a call says.

        Args:
            given: 'p2-p98' or other percentiles, [min, max], one of these for each band, 'none' for values that are
                levels from 0 to 255, None for the default: percentiles 2 and 98, and uint8 as it is.
            low: value that becomes black, whatever else is said.
            high: value that becomes white.

        Raises:
            InvalidArgumentError: it is none of these, or a limit is not finite.
        """
        for name, value in (("vmin", low), ("vmax", high)):
            if value is not None and not math.isfinite(value):
                raise InvalidArgumentError(f"{name} := {value} cannot be used; expected a finite number")
        if given is None:
            return cls(low=low, high=high)
        if isinstance(given, str):
            return replace(_of_text(given), low=low, high=high)
        pairs = given if isinstance(given, list | tuple) else []
        pairs = pairs if pairs and all(isinstance(one, list | tuple) for one in pairs) else [pairs]
        if not all(len(pair) == 2 and all(map(_is_number, pair)) for pair in pairs):
            raise InvalidArgumentError(f"stretch := {given!r} cannot be used; {_EXPECTED}")
        return cls(limits=tuple((float(a), float(b)) for a, b in pairs), low=low, high=high)

    def of_bands(self, values: Sequence[Sequence[Pixels]]) -> list[Limits]:
        """Limits of each band.

        Args:
            values: The valid pixels of each band, in one or more arrays of any shape: of several pictures, which are
                shown alike.

        Raises:
            InvalidArgumentError: There are limits for another number of bands.
        """
        if len(self.limits) not in (0, 1, len(values)):
            raise InvalidArgumentError(
                f"stretch := has limits for {len(self.limits)} bands, and the picture shows {len(values)}; {_EXPECTED}"
            )
        found = list(self.limits) * (len(values) if len(self.limits) == 1 else 1) or [
            self._of_pixels(of_band) for of_band in values
        ]
        return [
            (low if self.low is None else self.low, high if self.high is None else self.high) for low, high in found
        ]

    def _of_pixels(self, values: Sequence[Pixels]) -> Limits:
        if self.keeps_bytes and all(one.dtype == np.uint8 for one in values):
            return _AS_STORED
        if self.low is not None and self.high is not None:
            return self.low, self.high
        seen = np.concatenate([np.empty(0), *(one.ravel()[:: _step(one.size)].astype(np.float64) for one in values)])
        if not seen.size:
            return 0.0, 1.0
        with np.errstate(all="ignore"):
            found = np.nan_to_num(np.percentile(seen, self.percentiles))
        return float(found[0]), float(found[1])


DEFAULT_STRETCH = Stretch()
"""Percentiles 2 and 98, and uint8 as it is."""


def _of_text(text: str) -> Stretch:
    if text.lower() == "none":
        return Stretch(limits=(_AS_STORED,))
    written = _PERCENTILES.fullmatch(text.lower())
    if written is None or not 0 <= float(written[1]) < float(written[2]) <= 100:
        raise InvalidArgumentError(f"stretch := '{text}' cannot be used; {_EXPECTED}")
    return Stretch((float(written[1]), float(written[2])), keeps_bytes=False)


def _step(size: int) -> int:
    return max(1, -(-size // _SAMPLE))


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
