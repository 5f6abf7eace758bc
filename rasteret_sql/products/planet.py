"""Knows the bands of Planet's assets, whose items often do not list them.

Source: docs.planet.com/data/imagery/planetscope/psscene, which gives the bands of each type of asset, in their order.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

_FOUR = ("blue", "green", "red", "nir")
_EIGHT = ("coastal_blue", "blue", "green_i", "green", "yellow", "red", "rededge", "nir")
_UDM2 = ("clear", "snow", "shadow", "haze_light", "haze_heavy", "cloud", "confidence", "udm1")
_BANDS: dict[str, tuple[str, ...]] = {
    "ortho_analytic_3b": ("red", "green", "blue"),
    "ortho_analytic_4b": _FOUR,
    "ortho_analytic_4b_sr": _FOUR,
    "ortho_analytic_8b": _EIGHT,
    "ortho_analytic_8b_sr": _EIGHT,
    "ortho_udm2": _UDM2,
    "basic_analytic_4b": _FOUR,
    "basic_analytic_8b": _EIGHT,
    "basic_udm2": _UDM2,
}
"""Type of an asset → names of its bands."""


def planet_bands(
    key: str, asset: Mapping[str, Any], listed: Sequence[Mapping[str, Any]]
) -> tuple[Mapping[str, Any], ...]:
    """The bands of an asset, with Planet's names where it is one of Planet's and says no names itself.

    Args:
        key: Of the asset. Its field `pl:asset_type` says the type where the key is another.
        asset: As the item has it.
        listed: What it says of each band; empty where it says nothing.
    """
    names = _BANDS.get(str(asset.get("pl:asset_type") or key), ())
    is_named = any(name in one for one in listed for name in ("name", "common_name", "eo:common_name"))
    if is_named or (listed and len(listed) != len(names)):
        return tuple(listed)
    return tuple({"name": name, **one} for name, one in zip(names, listed or [{}] * len(names), strict=True))
