"""Makes an xarray Dataset of chips on one grid, with a variable for each band."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyproj

from rasteret_sql.errors import InvalidArgumentError, MemoryLimitError
from rasteret_sql.geo.grid import Affine, Window
from rasteret_sql.hosts.extras import require_extra
from rasteret_sql.hosts.ready_arrays import ReadyArrays, Slot
from rasteret_sql.lazy import lazy_module
from rasteret_sql.reading.chips import ChipJob
from rasteret_sql.reading.target_plan import ChipPlan, TargetPlan
from rasteret_sql.reading.window_plan import fill_value
from rasteret_sql.selection.pixels import Part, Planned, Samples

if TYPE_CHECKING:
    import xarray
else:
    xarray = lazy_module("xarray")

COMBINE = ("combine_first", "merge", "merge_override")
"""Values of `xr_combine`."""


@dataclass(frozen=True, slots=True, eq=False)
class GridChip:
    """Pixels of an area on a scene."""

    time: Any
    """An instant, or the number of a row."""
    area: int
    """Number of the area, from 0."""
    window: Window
    """Its pixels in the lattice that all chips have."""
    pixels: Sequence[np.ndarray | None] | np.ndarray
    """Of each band, shape (height, width); None: it is not there."""
    valid: Sequence[np.ndarray | None] | np.ndarray | None
    """Likewise, True is valid; None: all are."""


Layer = tuple[GridChip, np.ndarray, np.ndarray | None]
"""A chip, and of one of its bands the pixels and which of them are valid."""


@dataclass(frozen=True, slots=True)
class Variable:
    """A band of the dataset."""

    name: str
    dtype: np.dtype
    fill: float
    """Value where no scene has a valid pixel."""


def layers_of(chips: Iterable[GridChip], band: int) -> list[Layer]:
    """One band of chips, of those that have it."""
    return [
        (chip, pixels, None if chip.valid is None else chip.valid[band])
        for chip in chips
        if (pixels := chip.pixels[band]) is not None
    ]


def union(windows: Sequence[Window]) -> Window:
    """The smallest window that holds some, at least one."""
    col, row = min(each.col_off for each in windows), min(each.row_off for each in windows)
    end = max(each.col_end for each in windows), max(each.row_end for each in windows)
    return Window(col, row, end[0] - col, end[1] - row)


def make_dataset(
    chips: Sequence[GridChip],
    variables: Sequence[Variable],
    grid: tuple[Affine, str | None],
    areas: int,
    combine: str,
    *,
    ready: ReadyArrays | None = None,
) -> xarray.Dataset:
    """Put chips together.

    Args:
        chips: at least one, in the order in which scenes come first.
        variables: of each band.
        grid: pixel corner → CRS, north-up; and the CRS as `geo.crs` writes it.
        areas: how many there are, also those without a chip.
        combine: one of `COMBINE`: how scenes of one time are put together.
        ready: arrays that have chips already; None: there are none.

    Raises:
        InvalidArgumentError: a band has the name of a coordinate.
        xarray.MergeError: scenes of one time contradict each other, and `combine` is 'merge'.
    """
    whole = union([chip.window for chip in chips])
    times = np.unique([chip.time for chip in chips])
    slots: dict[tuple[int, int], list[GridChip]] = defaultdict(list)
    for chip in chips:
        slots[int(np.searchsorted(times, chip.time)), chip.area].append(chip)
    layers = {(band, *slot): layers_of(some, band) for slot, some in slots.items() for band in range(len(variables))}
    if ready is None or not ready.fits(times, whole, [one.dtype for one in variables]):
        ready = ReadyArrays([one.dtype for one in variables], times, areas, whole)
    put_together(ready, layers, variables, combine)
    lattice, crs = grid
    return dataset_on_grid(ready.data, variables, times, areas, (lattice, whole, crs))


def put_together(
    ready: ReadyArrays, layers: Mapping[Slot, Sequence[Layer]], variables: Sequence[Variable], combine: str
) -> None:
    """Fill the arrays of a dataset with what was not read into them.

    Args:
        ready: the arrays.
        layers: of each slot, the first ones first.
        variables: of each band.
        combine: one of `COMBINE`.
    """
    alone = {slot: (some[0][0].window, some[0][2]) for slot, some in layers.items() if len(some) == 1}
    done = ready.settle(alone, [one.fill for one in variables])
    for (band, time, area), some in layers.items():
        if (band, time, area) not in done:
            combine_layers(ready.data[band][time, area], some, ready.whole, combine, variables[band].name)


def arrays_for(
    planned: Sequence[Planned], times: Mapping[str, np.datetime64], bands: int, areas: int
) -> tuple[ReadyArrays | None, Sequence[np.ndarray | None]]:
    """The arrays of a dataset that is to be read, and the place of each sample in them.

    Args:
        planned: what is to be read, each of one band.
        times: of each scene, naive UTC.
        bands: how many.
        areas: how many were asked for.

    Returns:
        None for arrays of which the dtype is not known, as a band lacks a plan.
    """
    dtypes: list[set[np.dtype]] = [set() for _ in range(bands)]
    for one in planned:
        dtypes[one.part.bands[0]].add(one.plan.sources[0].header.dtype)
    if not all(dtypes):
        return None, [None] * len(planned)
    whole = union([window_of(one.plan) for one in planned])
    ready = ReadyArrays(
        [np.result_type(*some) for some in dtypes],
        np.unique([times[one.part.scene_id] for one in planned]),
        areas,
        whole,
    )
    return ready, ready.give(
        [
            (part.bands[0], times[part.scene_id], plan.read.row % areas, window_of(plan), plan.dtype)
            for part, plan in planned
        ]
    )


def dataset_on_grid(
    data: Sequence[Any],
    variables: Sequence[Variable],
    times: np.ndarray,
    areas: int,
    grid: tuple[Affine, Window, str | None],
) -> xarray.Dataset:
    """Put arrays on their coordinates.

    Args:
        data: of each variable, shape (times, areas, height, width), of numpy or dask, or a Variable that has one.
        variables: of each band.
        times: ascending.
        areas: how many.
        grid: pixel corner → CRS, north-up; the pixels of it; the CRS as `geo.crs` writes it.

    Raises:
        InvalidArgumentError: a band has the name of a coordinate.
    """
    taken = [one.name for one in variables if one.name in ("x", "y", "time", "geometry", "spatial_ref")]
    if taken:
        raise InvalidArgumentError(
            f'band "{taken[0]}" has the name of a coordinate of the dataset; rename it in the collection, or use '
            "get_numpy"
        )
    lattice, whole, crs = grid
    dims = "time", "geometry", "y", "x"
    return xarray.Dataset(
        {one.name: _variable(dims, array, one) for one, array in zip(variables, data, strict=True)},
        {
            "time": ("time", times),
            "geometry": ("geometry", np.arange(1, areas + 1)),
            "y": ("y", lattice.f + lattice.e * (whole.row_off + np.arange(whole.height) + 0.5), _axis("y", crs)),
            "x": ("x", lattice.c + lattice.a * (whole.col_off + np.arange(whole.width) + 0.5), _axis("x", crs)),
            "spatial_ref": ((), np.int64(0), _mapping(lattice.shifted(whole.col_off, whole.row_off), crs)),
        },
    )


def _variable(dims: tuple[str, ...], array: Any, one: Variable) -> xarray.Variable:
    """A variable of an array, or of one that has its own way to read."""
    attributes, encoding = {"_FillValue": one.dtype.type(one.fill)}, {"grid_mapping": "spatial_ref"}
    if isinstance(array, xarray.Variable):
        return xarray.Variable(dims, array._data, attributes, array.encoding | encoding)  # noqa: SLF001 - not read yet
    return xarray.Variable(dims, array, attributes, encoding)


def combine_layers(target: np.ndarray, layers: Sequence[Layer], whole: Window, combine: str, name: str) -> None:
    """Put the chips of one time and area into their pixels of a variable, the first ones first."""
    taken = np.zeros(target.shape, bool) if len(layers) > 1 else None
    for chip, pixels, said in layers if combine != "merge_override" else layers[:1]:
        window = chip.window
        at = (
            slice(window.row_off - whole.row_off, window.row_end - whole.row_off),
            slice(window.col_off - whole.col_off, window.col_end - whole.col_off),
        )
        valid = np.ones(window.shape, bool) if said is None else said
        there = target[at]
        if taken is not None:
            if combine == "merge" and (there[both := valid & taken[at]] != pixels[both]).any():
                raise xarray.MergeError(
                    f"scenes of {chip.time} have different pixels of band {name} in one place; with "
                    "xr_combine='combine_first' the first scene's are taken"
                )
            valid = valid & ~taken[at]
            taken[at] |= valid
        np.copyto(there, pixels, where=valid, casting="unsafe")


def _axis(name: str, crs: str | None) -> dict[str, str]:
    """Attributes of a coordinate, as CF has them."""
    if crs is not None and pyproj.CRS.from_user_input(crs).is_geographic:
        of_axis = {"x": ("longitude", "degrees_east"), "y": ("latitude", "degrees_north")}[name]
    else:
        of_axis = f"projection_{name}_coordinate", "metre"
        if crs is not None:
            of_axis = of_axis[0], pyproj.CRS.from_user_input(crs).axis_info[0].unit_name
    return {"axis": name.upper(), "standard_name": of_axis[0], "units": of_axis[1]}


def _mapping(transform: Affine, crs: str | None) -> dict[str, Any]:
    """Attributes of the grid mapping, as CF, GDAL, rioxarray and odc-geo read them."""
    a, b, c, d, e, f = transform
    attributes: dict[str, Any] = {"GeoTransform": " ".join(repr(float(each)) for each in (c, a, b, f, d, e))}
    if crs is None:
        return attributes
    known = pyproj.CRS.from_user_input(crs)
    wkt = known.to_wkt()
    return {**known.to_cf(), "crs_wkt": wkt, "spatial_ref": wkt, "projjson": known.to_json(), **attributes}


def require_xarray(function: str, instead: str) -> None:
    """Raise if xarray is not installed, before anything is read.

    Args:
        function: what needs it.
        instead: what to do without it.

    Raises:
        ImportError: says how to install it.
    """
    require_extra(function, "xarray", {"xarray": "xarray"}, instead)


def check_dataset(plans: Sequence[ChipPlan], areas: int, most: int) -> None:
    """Raise if the dataset of planned chips would be larger than a call may be.

    Args:
        plans: the chips, on one lattice.
        areas: how many there are.
        most: bytes.

    Raises:
        MemoryLimitError: it would.
    """
    if not plans:
        return
    whole = union([window_of(plan) for plan in plans])
    scenes = len({plan.read.scene_id for plan in plans})
    widths: Counter[tuple[str, int]] = Counter()
    for plan in plans:
        widths[plan.read.scene_id, plan.read.row % areas] += sum(one.header.dtype.itemsize for one in plan.sources)
    size = scenes * areas * whole.width * whole.height * max(widths.values())
    if size > most:
        raise MemoryLimitError(
            f"the dataset of {scenes} scenes and {areas} areas within {whole.height} × {whole.width} pixels needs up "
            f"to {size:,} bytes at once, more than max_call_bytes = {most:,}; nothing was fetched. Give a coarser "
            "resolution=, or fewer scenes or areas a call"
        )


def dataset_of(
    samples: Samples,
    times: Mapping[str, np.datetime64],
    names: Sequence[str],
    areas: int,
    combine: str,
    *,
    ready: ReadyArrays | None,
) -> xarray.Dataset:
    """The dataset of what was read on one grid.

    Args:
        samples: at least one, each of one band.
        times: of each scene, naive UTC.
        names: of the bands.
        areas: how many were asked for.
        combine: one of `COMBINE`.
        ready: what was read into; None: nothing was made for it.

    Raises:
        InvalidArgumentError: no scene says the dtype of a band.
    """
    jobs: dict[tuple[str, int, Window], dict[int, ChipJob]] = defaultdict(dict)
    for place, job in zip(samples.places, samples.jobs, strict=True):
        jobs[place.scene_id, place.area, window_of(job.plan)][place.bands[0]] = job
    chips, bands = [], range(len(names))
    for (scene, area, window), of in jobs.items():
        pixels = [of[band].pixels()[0] if band in of else None for band in bands]
        invalid = [of[band].invalid if band in of else None for band in bands]
        valid = [None if each is None else ~each[0] for each in invalid]
        chips.append(GridChip(times[scene], area, window, pixels, valid))
    first = samples.jobs[0].plan
    assert isinstance(first, TargetPlan)  # all are read on one grid
    read = [one for one in samples.planned if one.part not in samples.failures]
    has = {one.part.bands for one in read}
    read += [one for one in samples.planned if one.part.bands not in has]
    variables = variables_of(read, names, samples.failures)
    return make_dataset(chips, variables, (first.target.lattice, first.crs), areas, combine, ready=ready)


def variables_of(
    planned: Sequence[Planned], names: Sequence[str], failures: Mapping[Part, Exception]
) -> list[Variable]:
    """The variables of bands, of which scenes may have different dtypes: the one that holds all.

    Args:
        planned: plans, each of one band.
        names: of all bands.
        failures: why bands of scenes have no plan.

    Raises:
        InvalidArgumentError: a band has no plan.
    """
    plans: list[list[ChipPlan]] = [[] for _ in names]
    for part, plan in planned:
        plans[part.bands[0]].append(plan)
    found = []
    for band, (name, some) in enumerate(zip(names, plans, strict=True)):
        if not some:
            errors = [error for part, error in failures.items() if band in part.bands]
            why = f"; the first is: {errors[0]}" if errors else ""
            raise InvalidArgumentError(
                f'no scene has a file of band "{name}" that can be read, so nothing says its dtype{why}. Leave it out'
            )
        header = some[0].sources[0].header
        dtypes = {plan.sources[0].header.dtype for plan in some}
        found.append(Variable(name, np.result_type(*dtypes), fill_value(some[0].read, header.nodata)))
    return found


def times_of(scenes: pa.Table) -> dict[str, np.datetime64]:
    """The time of each scene, naive UTC."""
    return dict(zip(scenes["id"].to_pylist(), scenes["datetime"].to_numpy(), strict=True))


def window_of(plan: ChipPlan) -> Window:
    """The pixels of a chip in the lattice of its grid."""
    assert isinstance(plan, TargetPlan)  # all are read on one grid
    return plan.target.window
