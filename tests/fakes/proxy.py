"""A small forward proxy: plain requests and CONNECT tunnels. It resolves every name to loopback and remembers it."""

from __future__ import annotations

import contextlib
import select
import socket
import threading
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit


class Proxy:
    """``asked`` holds the request lines, ``headers`` the heads, in the order they came."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.heads: list[str] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._connections: list[socket.socket] = []
        self._threads: list[threading.Thread] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._listener.getsockname()[1]}"

    def __enter__(self) -> Self:
        self._spawn(self._accept)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for each in (self._listener, *self._connections):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()
        for thread in tuple(self._threads):
            thread.join(5)

    def _spawn(self, target: object, *given: object) -> None:
        thread = threading.Thread(target=target, args=given, daemon=True)  # type: ignore[arg-type]
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                self._connections.append(connection)
                self._spawn(self._serve, connection)

    def _serve(self, client: socket.socket) -> None:
        with contextlib.suppress(OSError, ValueError), client:
            head = b""
            while b"\r\n\r\n" not in head:
                if not (data := client.recv(65536)):
                    return
                head += data
            line, _, rest = head.partition(b"\r\n")
            self.asked.append(line.decode())
            self.heads.append(head.decode())
            method, target, version = line.split(b" ")
            if method == b"CONNECT":
                port = int(target.rpartition(b":")[2])
            else:
                parts = urlsplit(target.decode())
                port = parts.port or 80
                path = parts.path + (f"?{parts.query}" if parts.query else "")
                head = b" ".join((method, path.encode(), version)) + b"\r\nConnection: close\r\n" + rest
            with socket.create_connection(("127.0.0.1", port)) as server:
                self._connections.append(server)
                if method == b"CONNECT":
                    client.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
                else:  # one request a connection, which the answer says, as that of a real proxy does
                    server.sendall(head)
                    status, _, rest = server.recv(65536).partition(b"\r\n")
                    client.sendall(status + b"\r\nConnection: close\r\n" + rest)
                _pump(client, server)


def _pump(one: socket.socket, other: socket.socket) -> None:
    while True:
        for source in select.select([one, other], [], [])[0]:
            data = source.recv(65536)
            if not data:
                return
            (other if source is one else one).sendall(data)
