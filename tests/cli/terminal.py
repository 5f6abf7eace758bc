"""A terminal with a program in it, and what a person sees on its screen."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import signal
import struct
import subprocess
import termios
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Self

import pyte

COLUMNS, LINES = 110, 60


class Terminal:
    """Runs a command under a pseudo-terminal; a with-block ends it."""

    def __init__(self, command: Sequence[str], environment: dict[str, str], folder: Path) -> None:
        self._screen = pyte.Screen(COLUMNS, LINES)
        self._stream = pyte.ByteStream(self._screen)
        self.written = b""
        """All that the program wrote, escapes too."""
        self._own, its = pty.openpty()
        fcntl.ioctl(its, termios.TIOCSWINSZ, struct.pack("HHHH", LINES, COLUMNS, 0, 0))
        self._process = subprocess.Popen(
            list(command),
            stdin=its,
            stdout=its,
            stderr=its,
            cwd=folder,
            env=environment | {"TERM": "xterm-256color"},
            start_new_session=True,
        )
        os.close(its)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()
        os.close(self._own)

    def type(self, text: str) -> None:
        """Type at the keyboard; `\\r` is Enter."""
        os.write(self._own, text.encode())

    def interrupt(self) -> None:
        """Press Ctrl-C."""
        os.killpg(self._process.pid, signal.SIGINT)

    def interrupt_until(self, text: str) -> None:
        """Press Ctrl-C until the screen shows a text: where a statement is only about to run, one press is lost."""
        for _ in range(60):
            self._read_for(0.3)
            self.interrupt()
            self._read_for(3, text)
            if text in "\n".join(self.lines()):
                return
        raise AssertionError(self.lines())

    def _read_for(self, seconds: float, text: str | None = None) -> None:
        """Take what is written, for a while, or until a text is on the screen."""
        end = time.monotonic() + seconds
        while time.monotonic() < end and (text is None or text not in "\n".join(self.lines())):
            self._read(0.1)

    def lines(self) -> list[str]:
        """What stands on the screen, without blank lines."""
        return [line.rstrip() for line in self._screen.display if line.strip()]

    def wait_for(self, text: str, seconds: float = 60) -> None:
        """Read until the screen shows a text."""
        end = time.monotonic() + seconds
        while text not in "\n".join(self.lines()):
            assert time.monotonic() < end, self.lines()
            self._read(0.1)

    def wait_for_prompt(self, seconds: float = 60) -> None:
        """Read until the last line is an empty prompt."""
        end = time.monotonic() + seconds
        while not self.lines() or self.lines()[-1] != "rasteret>":
            assert time.monotonic() < end, self.lines()
            self._read(0.1)

    def finish(self, seconds: float = 90) -> int:
        """Read to the end of the program; gives its exit code."""
        end = time.monotonic() + seconds
        while self._read(0.1) or self._process.poll() is None:
            assert time.monotonic() < end, self.lines()
        return self._process.wait()

    def _read(self, seconds: float) -> bool:
        """Take what was written; False where there was nothing."""
        if not select.select([self._own], [], [], seconds)[0]:
            return False
        try:
            data = os.read(self._own, 1 << 16)
        except OSError:  # the program has closed its side
            return False
        self.written += data
        self._stream.feed(data)
        if b"\x1b[6n" in data:  # the prompt asks where the cursor is
            self.type(f"\x1b[{self._screen.cursor.y + 1};{self._screen.cursor.x + 1}R")
        return bool(data)
