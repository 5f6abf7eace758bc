"""A range server in its own process, with latency, bandwidth cap, counters and faults.

    with RangeServer(directory, latency_ms=30) as server:
        read(f"{server.url}/scene.tif")
        assert server.counts()["requests"] == 1

Alone: `python -m tests.servers.range_server DIRECTORY --port 8000 --latency-ms 30`.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import subprocess
import sys
import urllib.request
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.servers.range_protocol import Connection, Fault, Mix, State

ROOT = Path(__file__).resolve().parents[2]


class RangeServer:
    """Starts the server process, talks to its control paths, and ends it."""

    def __init__(self, directory: str | Path, latency_ms: float = 0, bandwidth: float | None = None) -> None:
        """Serve `directory`.

        Args:
            directory: what `/` is; files may be added or changed while it runs.
            latency_ms: added to each request.
            bandwidth: bytes a second of each connection, None without a cap.
        """
        self.directory = Path(directory)
        self.url = ""
        """`http://127.0.0.1:PORT`, without a slash at the end."""
        self._command = [sys.executable, "-m", "tests.servers.range_server", str(directory)]
        self._command += ["--latency-ms", str(latency_ms)] + (["--bandwidth", str(bandwidth)] if bandwidth else [])
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        path = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
        self._process = subprocess.Popen(
            [*self._command, "--until-stdin-closes"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": path},
        )
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"the range server did not start: {' '.join(self._command)}")
        self.url = line.decode().strip()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        process = self._process
        if process is not None:
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdin.close()
            process.wait(timeout=10)
            process.stdout.close()

    def _control(self, what: str, value: object = None) -> Any:
        request = urllib.request.Request(f"{self.url}/-/{what}", data=json.dumps(value).encode(), method="POST")
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=30) as answer:
            return json.load(answer)

    def reset(self) -> None:
        """Forget counts and log; fault counters start anew."""
        self._control("reset")

    def counts(self) -> dict[str, Any]:
        """Since the last reset: requests, bytes (of bodies), methods, statuses, faults, connections, max_in_flight."""
        return dict(self._control("counts"))

    def log(self) -> list[tuple[str, str, int | None, int | None, int]]:
        """(method, path, first byte, end-exclusive, status that was due) of each request since the last reset."""
        return [tuple(entry) for entry in self._control("log")]

    def faults(
        self,
        kind: str | None = None,
        *,
        every: int = 1,
        times: int | None = None,
        match: str = "",
        retry_after: str | None = None,
    ) -> None:
        """Replace all faults by one, or by none where `kind` is None; see `Fault` and `KINDS`."""
        self.set_faults([] if kind is None else [Fault(kind, every, times, match, retry_after)])

    def set_faults(self, faults: list[Fault]) -> None:
        """Replace all faults; the first that hits a request wins."""
        self._control("faults", [asdict(fault) for fault in faults])

    def mix(self, mix: Mix | None) -> None:
        """Let a share of all requests go wrong, or none any more."""
        self._control("mix", mix and {"share": mix.share, "kinds": mix.kinds, "seed": mix.seed})

    def settings(
        self, *, latency_ms: float | None = None, bandwidth: float | None = None, is_logging: bool | None = None
    ) -> None:
        """Change what is given, while running."""
        latency = None if latency_ms is None else latency_ms / 1000
        given = {"latency": latency, "bandwidth": bandwidth, "is_logging": is_logging}
        self._control("settings", {name: value for name, value in given.items() if value is not None})


async def serve(state: State, port: int, until_stdin_closes: bool) -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Connection(state), "127.0.0.1", port, backlog=1024)
    sys.stdout.write(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}\n")
    sys.stdout.flush()
    stopped = asyncio.Event()
    if until_stdin_closes:
        # The parent holds the other end of stdin: the server ends with it, however it ends.
        loop.add_reader(sys.stdin.fileno(), stopped.set)
    await stopped.wait()


def main() -> None:
    parser = argparse.ArgumentParser(description="HTTP range server with latency, bandwidth cap and faults")
    parser.add_argument("directory", type=Path)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--latency-ms", type=float, default=0)
    parser.add_argument("--bandwidth", type=float, help="bytes a second of each connection")
    parser.add_argument("--until-stdin-closes", action="store_true")
    args = parser.parse_args()
    state = State(args.directory.resolve(), latency=args.latency_ms / 1000, bandwidth=args.bandwidth)
    asyncio.run(serve(state, args.port, args.until_stdin_closes))


if __name__ == "__main__":
    main()
