"""The HTTP/1.1 range server itself: an asyncio protocol with latency, bandwidth cap, counters and faults.

It runs in its own process (see `range_server`), so that neither its CPU nor its event loop disturbs what is measured.
A request counts when its answer starts, bytes count as body bytes handed to the socket. Paths under `/-/` control the
server and are never counted.
"""

from __future__ import annotations

import asyncio
import email.utils
import json
import mimetypes
import os
import random
import re
import socket
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from urllib.parse import quote, unquote, urlsplit

KINDS = (
    "truncate",  # half of the body, then the connection closes
    "reset",  # TCP reset in the middle of the body
    "reset-early",  # TCP reset before any answer
    "stall",  # head, half of the body, then silence
    "stall-early",  # no answer at all
    "slow",  # slow loris: the body in drops of 1 KiB a second
    "wrong-range",  # 206 whose Content-Range and body are those of another offset
    "wrong-length",  # 206 of the asked offset with half as many bytes, consistently declared
    "ignore-range",  # 200 and the whole file
    "long",  # 206 of the asked range that goes on beyond it, consistently declared
    "other-version",  # as it should be, but with the ETag and time of another file
    "redirect",  # 302 to the same file
    "redirect-nowhere",  # 302 to a host that no name server knows
)
"""What a fault may be, besides an HTTP status such as `503` or `429`, or `429/2`: with `Retry-After: 2`."""


@dataclass(slots=True)
class Fault:
    """Every `every`-th counted GET whose path matches `match` goes wrong, `times` times at most."""

    kind: str
    every: int = 1
    times: int | None = None
    match: str = ""
    retry_after: str | None = None
    seen: int = 0
    done: int = 0

    def __post_init__(self) -> None:
        check_kind(self.kind)

    def hits(self, path: str) -> bool:
        if not re.search(self.match, path) or (self.times is not None and self.done >= self.times):
            return False
        self.seen += 1
        if self.seen % self.every:
            return False
        self.done += 1
        return True


def check_kind(kind: str) -> None:
    if kind not in KINDS and not re.fullmatch(r"[345]\d\d(/\d+)?", kind):
        raise ValueError(f"no such fault: {kind!r}; known: an HTTP status, {', '.join(KINDS)}")


@dataclass(slots=True)
class Mix:
    """A share of all counted GETs goes wrong, the kinds in turn; what went wrong goes well when asked again."""

    share: float
    kinds: list[str]
    seed: int = 0
    turn: int = 0

    def __post_init__(self) -> None:
        for kind in self.kinds:
            check_kind(kind)
        self._random = random.Random(self.seed)
        self._spared: set[tuple[str, int | None]] = set()

    _random: random.Random = field(init=False, repr=False)
    _spared: set[tuple[str, int | None]] = field(init=False, repr=False)

    def hits(self, path: str, first: int | None) -> str | None:
        """The kind of fault of a request, None for none."""
        if (path, first) in self._spared:
            self._spared.discard((path, first))
            return None
        if first is None or self._random.random() >= self.share:
            return None  # whole files, which are asked for where ranges were ignored, are spared
        self._spared.add((path, first))
        self.turn += 1
        return self.kinds[self.turn % len(self.kinds)]


@dataclass(slots=True)
class State:
    """What all connections share."""

    directory: Path
    latency: float = 0.0
    """Seconds added to each request."""
    bandwidth: float | None = None
    """Bytes a second of each connection; None without a cap."""
    faults: list[Fault] = field(default_factory=list)
    mix: Mix | None = None
    is_logging: bool = True
    log: list[tuple[str, str, int | None, int | None, int]] = field(default_factory=list)
    """(method, path, first byte, end-exclusive, status) of each request."""
    methods: Counter[str] = field(default_factory=Counter)
    statuses: Counter[int] = field(default_factory=Counter)
    faulted: Counter[str] = field(default_factory=Counter)
    bytes_sent: int = 0
    connections: int = 0
    in_flight: int = 0
    max_in_flight: int = 0
    files: dict[str, tuple[int, int, int]] = field(default_factory=dict)
    """path → (file descriptor, size, modification time in ns)."""

    def reset(self) -> None:
        self.log.clear()
        for counter in (self.methods, self.statuses, self.faulted):
            counter.clear()
        self.bytes_sent = self.connections = 0
        self.max_in_flight = self.in_flight
        for fault in self.faults:
            fault.seen = fault.done = 0

    def counts(self) -> dict[str, object]:
        return {
            "requests": sum(self.methods.values()),
            "bytes": self.bytes_sent,
            "methods": dict(self.methods),
            "statuses": {str(k): v for k, v in self.statuses.items()},
            "faults": dict(self.faulted),
            "connections": self.connections,
            "max_in_flight": self.max_in_flight,
        }

    def open(self, path: str) -> tuple[int, int, int] | None:
        """Descriptor, size and time of a file below the directory; None where there is none."""
        target = os.path.normpath(os.path.join(self.directory, path.lstrip("/")))  # noqa: PTH118
        if not target.startswith(str(self.directory) + os.sep):
            return None
        try:
            stat = os.stat(target)  # noqa: PTH116 (called per request)
        except OSError:
            return None
        if not os.path.isfile(target):  # noqa: PTH113
            return None
        known = self.files.get(target)
        if known is None or known[1:] != (stat.st_size, stat.st_mtime_ns):
            if known is not None:
                os.close(known[0])
            known = self.files[target] = (os.open(target, os.O_RDONLY), stat.st_size, stat.st_mtime_ns)
        return known


class Connection(asyncio.Protocol):
    """One keep-alive connection; requests are answered one after the other."""

    def __init__(self, state: State) -> None:
        self.state = state
        self.buffer = b""
        self.busy = False
        self.timer: asyncio.TimerHandle | None = None
        self.transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self.state.connections += 1
        sock = transport.get_extra_info("socket")
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 21)

    def connection_lost(self, exc: Exception | None) -> None:
        if self.timer is not None:
            self.timer.cancel()
        self.done()

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        if not self.busy:
            self.next_request()

    def next_request(self) -> None:
        end = self.buffer.find(b"\r\n\r\n")
        if end < 0:
            return
        lines = self.buffer[:end].decode("latin-1").split("\r\n")
        headers = dict(line.lower().split(": ", 1) for line in lines[1:] if ": " in line)
        length = int(headers.get("content-length", 0))
        if len(self.buffer) < end + 4 + length:
            return
        body, self.buffer = self.buffer[end + 4 : end + 4 + length], self.buffer[end + 4 + length :]
        method, target, _ = lines[0].split(" ", 2)
        path = unquote(urlsplit(target).path)
        self.busy = True
        if path.startswith("/-/"):
            self.control(path[3:], body)
            return
        self.state.in_flight += 1
        self.state.max_in_flight = max(self.state.max_in_flight, self.state.in_flight)
        if self.state.latency > 0:
            self.later(self.state.latency, self.answer, method, path, headers)
        else:
            self.answer(method, path, headers)

    def later(self, seconds: float, call: Callable[..., None], *args: object) -> None:
        self.timer = asyncio.get_running_loop().call_later(seconds, call, *args)

    def done(self) -> None:
        """One answer is out (or its connection gone): count it out of flight."""
        if self.busy:
            self.busy = False
            self.state.in_flight -= 1

    def finish(self) -> None:
        self.done()
        if self.buffer:
            self.next_request()

    def control(self, what: str, body: bytes) -> None:
        state = self.state
        reply: object = {}
        if what == "counts":
            reply = state.counts()
        elif what == "log":
            reply = state.log
        elif what == "reset":
            state.reset()
        elif what == "faults":
            state.faults = [Fault(**fault) for fault in json.loads(body)]
            reply = [asdict(fault) for fault in state.faults]
        elif what == "mix":
            said = json.loads(body)
            state.mix = Mix(**said) if said else None
        elif what == "settings":
            for name, value in json.loads(body).items():
                setattr(state, name, value)
        data = json.dumps(reply).encode()
        self.transport.write(self.head(200, len(data), {"Content-Type": "application/json"}) + data)
        self.busy = False
        if self.buffer:
            self.next_request()

    @staticmethod
    def head(status: int, length: int, headers: dict[str, str]) -> bytes:
        lines = [f"HTTP/1.1 {status} -", f"Content-Length: {length}"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")

    def refuse(self, status: int, headers: dict[str, str] | None = None) -> None:
        self.state.statuses[status] += 1
        text = f"answer {status} of the test server\n".encode()
        self.transport.write(self.head(status, len(text), headers or {}) + text)
        self.finish()

    def answer(self, method: str, path: str, headers: dict[str, str]) -> None:
        state = self.state
        asked = parse_range(headers.get("range"))
        state.methods[method] += 1
        file = state.open(path)
        kind, retry_after = None, None
        fault = next((f for f in state.faults if f.hits(path)), None) if method == "GET" else None
        if fault is not None:
            kind, retry_after = fault.kind, fault.retry_after
        elif state.mix is not None and method == "GET":
            kind = state.mix.hits(path, asked[0] if asked else None)
        if kind is not None:
            state.faulted[kind] += 1
            kind, _, said = kind.partition("/")
            retry_after = said or retry_after
        size = file[1] if file else 0
        first, end = resolve(asked, size)
        if state.is_logging:
            state.log.append((method, path, first if asked else None, end if asked else None, 206 if asked else 200))
        if kind is not None and kind.isdigit():
            self.refuse(int(kind), {"Retry-After": retry_after} if retry_after else {})
        elif kind in ("redirect", "redirect-nowhere"):
            # A query string, which the server does not look at, tells the two addresses apart.
            place = f"{quote(path)}?redirected" if kind == "redirect" else "http://no-such-host.invalid/"
            self.refuse(302, {"Location": place})
        elif kind == "reset-early":
            self.reset()
        elif kind == "stall-early":
            return
        elif method not in ("GET", "HEAD"):
            self.refuse(405)
        elif file is None:
            self.refuse(404)
        elif asked is not None and first >= size:
            self.refuse(416, {"Content-Range": f"bytes */{size}"})
        else:
            self.send(method, path, file, asked is not None, first, end, kind)

    def send(  # noqa: PLR0917
        self, method: str, path: str, file: tuple[int, int, int], ranged: bool, first: int, end: int, kind: str | None
    ) -> None:
        state = self.state
        descriptor, size, modified = file
        if kind == "ignore-range":
            ranged, first, end = False, 0, size
        elif kind == "wrong-range":
            first = first + 1 if first == 0 else first - 1
            end = min(size, max(end, first + 1))
        elif kind == "wrong-length":
            end = first + max(1, (end - first) // 2)
        elif kind == "long":
            end = min(size, end + 1000)
        elif kind == "other-version":
            modified += 1_000_000_007
        headers = {
            "Content-Type": mimetypes.guess_type(path)[0] or "application/octet-stream",
            "Accept-Ranges": "bytes",
            "ETag": f'"{size:x}-{modified:x}"',
            "Last-Modified": email.utils.formatdate(modified / 1e9, usegmt=True),
        }
        if ranged:
            headers["Content-Range"] = f"bytes {first}-{end - 1}/{size}"
        state.statuses[206 if ranged else 200] += 1
        head = self.head(206 if ranged else 200, end - first, headers)
        if method == "HEAD":
            self.transport.write(head)
            self.finish()
            return
        body = os.pread(descriptor, end - first, first)
        if kind in ("truncate", "reset", "stall"):
            body = body[: len(body) // 2]
        if kind == "slow":
            self.transport.write(head)
            self.drip(memoryview(body), 1024, 1.0)
        elif state.bandwidth:
            self.transport.write(head)
            self.drip(memoryview(body), max(1, int(state.bandwidth * 0.01)), 0.01)
        else:
            state.bytes_sent += len(body)
            # Two writes: joining head and body would copy the body.
            self.transport.write(head)
            self.transport.write(body)
            if kind == "truncate":
                self.transport.close()
            elif kind == "reset":
                self.reset()
            elif kind != "stall":
                self.finish()

    def drip(self, body: memoryview, size: int, pause: float, start: float | None = None, sent: int = 0) -> None:
        """Write `size` bytes each `pause` seconds, catching up where the loop was late."""
        start = time.monotonic() if start is None else start
        due = min(len(body), (int((time.monotonic() - start) / pause) + 1) * size)
        self.state.bytes_sent += due - sent
        self.transport.write(bytes(body[sent:due]))
        if due == len(body):
            self.finish()
        else:
            self.later(pause, self.drip, body, size, pause, start, due)

    def reset(self) -> None:
        sock = self.transport.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        self.transport.abort()


def parse_range(value: str | None) -> tuple[int | None, int | None] | None:
    """`bytes=3-7` → (3, 8), `bytes=3-` → (3, None), `bytes=-5` → (None, 5); None where there is none."""
    match = re.fullmatch(r"bytes=(\d*)-(\d*)", value or "")
    if match is None or not any(match.groups()):
        return None
    first, last = (int(part) if part else None for part in match.groups())
    return (first, last if first is None or last is None else last + 1)


def resolve(asked: tuple[int | None, int | None] | None, size: int) -> tuple[int, int]:
    """First byte and end (exclusive) in a file of that size."""
    if asked is None:
        return 0, size
    first, end = asked
    if first is None:
        return max(0, size - (end or 0)), size
    return first, size if end is None else min(end, size)
