"""`StartedJobs`: waits for jobs that an engine has begun, or stops them."""

from __future__ import annotations

from collections.abc import Callable

from rasteret_sql.callbacks import POLL_SECONDS
from rasteret_sql.engine import cancel
from rasteret_sql.engine.call import Call


class StartedJobs:
    """Jobs of one call.

    Args:
        call: Theirs; None where they are only planned.
    """

    def __init__(self, call: Call | None = None) -> None:
        self._call = call

    def wait(self, tell: Callable[[int], None] | None = None) -> None:
        """Wait until every job has finished; raise the first error that no job dealt with.

        Args:
            tell: Told now and then, on this thread, how many jobs are done.
        """
        call = self._call
        if call is None:
            return
        try:
            while not call.done.wait(POLL_SECONDS):
                cancel.check(call.cancelled)
                if tell is not None:
                    tell(call.finished)
        finally:
            call.end()
        if call.error is not None:
            raise call.error

    def wait_for_room(self, most: int, tell: Callable[[int], None]) -> None:
        """Wait until those that are open hold at most so many bytes, or none any, or the call has failed."""
        assert self._call is not None
        while not self._call.wait_for_room(most):
            cancel.check(self._call.cancelled)
            tell(self._call.finished)

    def stop(self) -> None:
        """Let them be: what they made is not wanted any more."""
        if self._call is not None:
            self._call.end()
