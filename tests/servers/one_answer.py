"""Servers of a few lines that treat each connection alike, for answers that no proper server gives."""

from __future__ import annotations

import contextlib
import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable, Iterator

Treat = Callable[[socket.socket], None]
PART = (
    b"HTTP/1.1 206 Partial Content\r\nContent-Range: bytes 0-99/1000\r\nContent-Length: 100\r\n"
    b'Last-Modified: Mon, 01 Jan 2024 00:00:00 GMT\r\nETag: "x"\r\n\r\n'
)
"""Head of the answer to a request for the first 100 bytes of 1000."""


@contextlib.contextmanager
def serve(treat: Treat, tls: ssl.SSLContext | None = None) -> Iterator[int]:
    """Give the port of a server that hands each connection to `treat` and then closes it."""
    listening = socket.create_server(("127.0.0.1", 0))

    def one(connection: socket.socket) -> None:
        with contextlib.suppress(OSError), connection:
            treat(tls.wrap_socket(connection, server_side=True) if tls else connection)

    def accept() -> None:
        while True:
            try:
                connection, _ = listening.accept()
            except OSError:  # closed: the test is over
                return
            threading.Thread(target=one, args=(connection,), daemon=True).start()

    thread = threading.Thread(target=accept, daemon=True)
    thread.start()
    try:
        yield listening.getsockname()[1]
    finally:
        with contextlib.suppress(OSError):
            listening.shutdown(socket.SHUT_RDWR)  # wakes the thread that accepts
        listening.close()
        thread.join(timeout=10)


def close(connection: socket.socket) -> None:
    """Read the request and hang up."""
    connection.recv(4096)


def reset(connection: socket.socket) -> None:
    """Read the request and reset the connection."""
    connection.recv(4096)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def stall(connection: socket.socket) -> None:
    """Read the request and say nothing until the client leaves, for ten seconds at most."""
    connection.settimeout(10)
    while connection.recv(4096):
        pass


def answer(text: bytes, then: Treat | None = None) -> Treat:
    """Read the request, send a text, and go on with `then`."""

    def treat(connection: socket.socket) -> None:
        connection.recv(4096)
        connection.sendall(text)
        if then is not None:
            time.sleep(0.05)
            then(connection)

    return treat


def status(code: int, body: bytes = b"", headers: bytes = b"") -> Treat:
    """Answer with a status."""
    head = b"HTTP/1.1 %d Said\r\nContent-Length: %d\r\n%s\r\n" % (code, len(body), headers)
    return answer(head + body)
