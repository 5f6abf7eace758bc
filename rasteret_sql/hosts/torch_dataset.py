"""`ChipDataset` and `ChipStream`: gives chips of scenes as tensors to PyTorch, by number or as they come.

It is imported when a dataset is asked for: PyTorch need not be there otherwise.
"""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from threading import Event

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import torch
from torch.utils.data import Dataset, IterableDataset, Sampler, get_worker_info

from rasteret_sql.engine.scheduler import shared_engine
from rasteret_sql.errors import InvalidArgumentError
from rasteret_sql.hosts.chip_table import ChipTable
from rasteret_sql.selection.chip_order import Chips, Shares, rounds_in_order, shuffled_rounds, whole_batches

Sample = dict[str, torch.Tensor]
"""`image` or `mask`, `transform`, `time`, `chip`, and as asked for `valid` and `label`."""
Transforms = Callable[[Sample], Sample]
FILES_AT_ONCE = 4
"""Images whose chips are mixed."""
ROUND_BYTES = 64 << 20
"""Of chips that are read and mixed at a time."""
_ROUND_CHIPS = 16_384
"""Chips of a round, at most: of very small ones, what stands beside the pixels counts, too."""


@dataclass(frozen=True, slots=True)
class SampleForm:
    """The form of samples, beside their pixels."""

    is_image: bool
    """False: the pixels are classes, and the key is `mask`."""
    with_valid: bool
    """True: a sample says which pixels are valid."""
    transforms: Transforms | None
    """Called last, with each sample."""


class ChipDataset(Dataset):  # type: ignore[misc]
    """Chips by number, for a DataLoader with any sampler. A batch is read at once."""

    def __init__(self, table: ChipTable, form: SampleForm) -> None:
        self.table = table
        self.form = form

    def __len__(self) -> int:
        return len(self.table)

    def __getitem__(self, number: int) -> Sample:
        return self.__getitems__([number])[0]

    def __getitems__(self, numbers: Sequence[int]) -> list[Sample]:
        """Several chips, as a DataLoader asks for them."""
        chips = _numbers(numbers, len(self.table))
        distinct, where = np.unique(chips, return_inverse=True)
        _share_machine()
        data = np.empty((len(distinct), *self.table.shape), self.table.dtype)
        with self.table.reading("to_torch_dataset") as context:
            valid, _ = context.engine.call(lambda cancelled: self.table.read(distinct, data, context, cancelled))
        batch = _Batch(self.table, self.form, distinct, data, valid)
        samples = [batch.sample(at) for at in where.tolist()]
        return samples if self.form.transforms is None else [self.form.transforms(one) for one in samples]

    def rows(self) -> pa.Table:
        """A row for each chip: its scene, time, place and CRS."""
        return self.table.rows()

    def batches(
        self,
        batch_size: int,
        *,
        num_workers: int = 0,
        shuffle: bool = True,
        seed: int | None = None,
        drop_last: bool = False,
    ) -> FileBatches:
        """Batches for `DataLoader(dataset, batch_sampler=...)` that let each worker read its own files, tile by tile.

        Args:
            batch_size: chips in a batch.
            num_workers: of the DataLoader.
            shuffle: True: files in an order of chance, and chips of some of them mixed.
            seed: of this order; None: another one each time, by PyTorch's own generator.
            drop_last: True: batches that are not full are left out.
        """
        return FileBatches(self.table, _positive("batch_size", batch_size), num_workers, shuffle, seed, drop_last)


class FileBatches(Sampler):  # type: ignore[misc]
    """Batches of chips, in turn for each worker from its own files: as a DataLoader hands batches out."""

    def __init__(  # noqa: PLR0917 - made by `ChipDataset.batches`
        self, table: ChipTable, batch: int, workers: int, shuffle: bool, seed: int | None, drop_last: bool
    ) -> None:
        self._table, self._batch, self._workers = table, batch, max(1, workers)
        self._shuffle, self._seed, self._drop_last = shuffle, seed, drop_last
        self._epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Choose the order of an epoch, where a seed is given."""
        self._epoch = epoch

    def __iter__(self) -> Iterator[list[int]]:
        seeds = _seeds(self._seed, self._epoch, None)
        queues = deque(self._of_worker(Shares(number, self._workers), seeds) for number in range(self._workers))
        while queues:
            batch = next(queues[0], None)
            if batch is None:
                queues.popleft()
            else:
                yield batch
                queues.rotate(-1)

    def __len__(self) -> int:
        return sum(1 for _ in iter(self))

    def _of_worker(self, shares: Shares, seeds: Sequence[int]) -> Iterator[list[int]]:
        rounds = _rounds(self._table, shares, seeds if self._shuffle else None, ROUND_BYTES, FILES_AT_ONCE)
        for some in whole_batches(rounds, self._batch, drop_last=self._drop_last):
            yield from (some[at : at + self._batch].tolist() for at in range(0, len(some), self._batch))


class ChipStream(IterableDataset):  # type: ignore[misc]
    """Chips as they come: each worker of a DataLoader reads its own files tile by tile, ahead of what is asked for."""

    def __init__(
        self,
        table: ChipTable,
        form: SampleForm,
        *,
        shuffle: bool,
        seed: int | None,
        batch_size: int | None,
        drop_last: bool,
        files_at_once: int,
        round_bytes: int,
        prefetch: int,
        shares: Shares,
    ) -> None:
        if shares.count > 1 and seed is None and shuffle:
            raise InvalidArgumentError(
                f"shard=({shares.number}, {shares.count}) needs a seed=, so that all processes have the same order"
            )
        self.table = table
        self.form = form
        self._shuffle, self._seed, self._epoch = shuffle, seed, 0
        self._batch, self._drop_last = batch_size, drop_last
        self._files, self._bytes, self._prefetch = files_at_once, round_bytes, prefetch
        self._shares = shares

    def __len__(self) -> int:
        """Number of chips.

        Raises:
            TypeError: it gives batches or a shard: how many depends on the workers.
        """
        if self._shares.count > 1 or self._batch is not None:
            raise TypeError(
                f"the number of batches, or of chips of a shard, depends on the workers; {len(self.table)} chips"
            )
        return len(self.table)

    def set_epoch(self, epoch: int) -> None:
        """Choose the order of an epoch, where a seed is given."""
        self._epoch = epoch

    def rows(self) -> pa.Table:
        """A row for each chip: its scene, time, place and CRS."""
        return self.table.rows()

    def __iter__(self) -> Iterator[Sample]:
        info = get_worker_info()
        _share_machine()
        number, count = (0, 1) if info is None else (info.id, info.num_workers)
        shares = Shares(self._shares.number * count + number, self._shares.count * count)
        base = None if info is None else info.seed - info.id  # the same in all workers of an epoch
        seeds = _seeds(self._seed, self._epoch, base)
        rounds = _rounds(self.table, shares, seeds if self._shuffle else None, self._bytes, self._files)
        if self._batch is not None:
            rounds = whole_batches(rounds, self._batch, drop_last=self._drop_last)
        for batch, kept in self._ahead(rounds):
            yield from self._samples(batch, kept) if self._batch is None else self._batches(batch, kept, self._batch)

    def _samples(self, batch: _Batch, kept: npt.NDArray[np.bool_]) -> Iterator[Sample]:
        for at in np.flatnonzero(kept).tolist():
            sample = batch.sample(at)
            yield sample if self.form.transforms is None else self.form.transforms(sample)

    def _batches(self, batch: _Batch, kept: npt.NDArray[np.bool_], size: int) -> Iterator[Sample]:
        for begin in range(0, len(kept), size):
            sample = batch.part(begin, begin + size, kept)
            if len(sample["chip"]):
                yield sample if self.form.transforms is None else self.form.transforms(sample)

    def _ahead(self, rounds: Iterator[Chips]) -> Iterator[tuple[_Batch, npt.NDArray[np.bool_]]]:
        """Read rounds, some before they are asked for."""
        stop = Event()

        def read(chips: Chips) -> tuple[_Batch, npt.NDArray[np.bool_]]:
            data = np.empty((len(chips), *self.table.shape), self.table.dtype)
            with self.table.reading("to_torch_dataset") as context:
                valid, kept = self.table.read(chips, data, context, stop.is_set)
            return _Batch(self.table, self.form, chips, data, valid), kept

        with ThreadPoolExecutor(1, "rasteret-chips") as pool:
            waiting: deque[Future[tuple[_Batch, npt.NDArray[np.bool_]]]] = deque()
            try:
                for chips in itertools.islice(rounds, self._prefetch + 1):
                    waiting.append(pool.submit(read, chips))
                while waiting:
                    done = waiting.popleft().result()
                    waiting.extend(pool.submit(read, chips) for chips in itertools.islice(rounds, 1))
                    yield done
            finally:
                stop.set()
                for future in waiting:
                    future.cancel()


class _Batch:
    """Chips that were read together, as tensors over the same memory."""

    def __init__(
        self,
        table: ChipTable,
        form: SampleForm,
        chips: Chips,
        data: npt.NDArray[np.generic],
        valid: npt.NDArray[np.bool_],
    ) -> None:
        if not form.is_image and data.shape[-3] == 1:
            data, valid = data[..., 0, :, :], valid[..., 0, :, :]
        arrays = {
            "image" if form.is_image else "mask": data,
            "transform": table.places.transforms(chips),
            "time": np.array(table.times(chips)),
            "chip": chips,
        }
        if form.with_valid:
            arrays["valid"] = valid
        if table.labels is not None:
            arrays["label"] = table.labels[chips]
        self._arrays = arrays

    def sample(self, at: int) -> Sample:
        """One chip. Each array is a tensor of its own, so that no other process is sent more than it."""
        return {name: torch.from_numpy(values[at : at + 1])[0] for name, values in self._arrays.items()}

    def part(self, begin: int, end: int, kept: npt.NDArray[np.bool_]) -> Sample:
        """Some chips, one after the other."""
        of = np.s_[begin:end] if kept[begin:end].all() else begin + np.flatnonzero(kept[begin:end])
        return {name: torch.from_numpy(values[of]) for name, values in self._arrays.items()}


def _rounds(
    table: ChipTable, shares: Shares, seeds: Sequence[int] | None, round_bytes: int, files_at_once: int
) -> Iterator[Chips]:
    chips = min(_ROUND_CHIPS, max(1, round_bytes // table.nbytes))
    if seeds is None:
        return rounds_in_order(len(table), chips, shares)
    return shuffled_rounds(table.places, chips, files_at_once, shares, np.random.default_rng(seeds))


def _seeds(seed: int | None, epoch: int, base: int | None) -> list[int]:
    """The seeds of an epoch; without a seed by PyTorch's generator, which `torch.manual_seed` sets."""
    if seed is not None:
        return [seed, epoch]
    return [int(torch.empty((), dtype=torch.int64).random_().item()) if base is None else base]


def _share_machine() -> None:
    """Keep the caches of all workers together as small as that of one process."""
    info, engine = get_worker_info(), shared_engine()
    if info is not None:
        engine.share(info.num_workers)


def _numbers(numbers: Sequence[int], count: int) -> Chips:
    """Numbers of chips, from the end where they are negative."""
    chips = np.asarray(numbers, np.int64)
    wrong = (chips < -count) | (chips >= count)
    if wrong.any():
        raise IndexError(f"there is no chip {int(chips[wrong][0])}; the dataset has {count}, numbered from 0")
    return np.where(chips < 0, chips + count, chips)


def _positive(name: str, value: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise InvalidArgumentError(f"{name}={value!r} cannot be used; expected a number of 1 or more")
    return value
