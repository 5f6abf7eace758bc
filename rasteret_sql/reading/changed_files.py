"""Repeats a read whose files were changed: with the headers that they have now, each file's read again once."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from rasteret_sql.callbacks import Cancelled
from rasteret_sql.errors import RasteretError
from rasteret_sql.index.read.band_source import BandSource
from rasteret_sql.index.read.file_headers import FileHeader
from rasteret_sql.reading.context import ReadContext


class ChangedFiles:
    """The files of a call that were changed since they were indexed, and whose headers were read again."""

    def __init__(self) -> None:
        self._found: dict[str, FileHeader | RasteretError | None] = {}

    def __contains__(self, address: str) -> bool:
        """True for a file whose header was read again: one that is changed still changes while it is read."""
        return address in self._found

    def failure(self, address: str) -> RasteretError | None:
        """The error with which a header could not be read again; None where it could, and for unchanged files."""
        found = self._found.get(address)
        return found if isinstance(found, RasteretError) else None

    def read_headers(self, sources: Sequence[BandSource], context: ReadContext, cancelled: Cancelled) -> bool:
        """Read the headers of files again that were not read again before; False where there are none."""
        new = [source for source in sources if source.address not in self._found]
        if new:
            found = context.read_again(new, cancelled)
            self._found |= {source.address: found.get(source.address) for source in new}
        return bool(new)


def repeat_while_changed(
    attempt: Callable[[ChangedFiles], Sequence[BandSource]], context: ReadContext, cancelled: Cancelled
) -> ChangedFiles:
    """Call `attempt`, and again as long as it meets changed files that it has not met before.

    Args:
        attempt: reads, and gives the bands whose files were changed; takes the files that were read again.
        context: reads the headers.
        cancelled: the call's flag.

    Returns:
        The files that were read again.
    """
    files = ChangedFiles()
    while files.read_headers(attempt(files), context, cancelled):
        pass
    return files
