"""`KnownRows`: holds the values of some rows of a call that were read together, to be put among those of the others."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa


class KnownRows(NamedTuple):
    """The values of some rows of a call."""

    rows: npt.NDArray[np.int64]
    """Of the call."""
    values: pa.Array
    """Of each."""

    def put_into(self, values: pa.Array) -> pa.Array:
        """A value of each row of the call, where `values` has that of the other rows."""
        if len(self.rows) == len(values) and (np.diff(self.rows) == 1).all():
            return self.values
        at = len(self.rows) + np.arange(len(values))
        at[self.rows] = np.arange(len(self.rows))
        return pa.concat_arrays([self.values, values]).take(pa.array(at))
