"""``trivy server``, kept beside a process that scans: one request for each image merges and matches its layers.

It gets Trivy's own records of layers and never their bytes, so whoever takes over the reader of one layer says nothing
of others here. Each record has a name that is made of its content, and each request names all that its answer is made
of. The server holds nothing that must last: one that breaks, grows or has served long is replaced, and whoever has
asked it meanwhile asks Trivy without it (run.py).
"""

from __future__ import annotations

import hashlib
import logging
import os
import secrets
import shutil
import socket
import threading
import time
import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from console.sandbox.local_server import LocalServer, ServerNotReached, can_serve
from scanning.engines.base import StopCheck
from scanning.engines.trivy import command, rpc_messages
from scanning.engines.trivy.exchange import AnswerTooLarge, ExchangeFailed, exchange
from scanning.engines.trivy.protobuf import Json, NotDecodable, NotEncodable, Table, decode, delimited, encode

__all__ = ["LayerRecord", "MatchServer", "NotEncodable", "ServerFailed", "layer_record"]

log = logging.getLogger(__name__)

MAX_SERVERS = 2  # of two databases, while one takes the place of the other
MAX_REQUESTS = 20_000  # of one server, before another one takes its place
MAX_MEMORY_BYTES = 192 * 1024**2  # of its own, after a request; the same
HARD_MEMORY_BYTES = 1024**3  # that the kernel holds it to, twice over
IDLE_SECONDS = 300.0  # without a request, before it is ended
START_TIMEOUT_SECONDS = 30.0
BROKEN_SECONDS = 60.0  # for which nothing is asked of a server that did not start
POLL_SECONDS = 0.1
MEMORY_POLL_SECONDS = 1.0  # between looks at its memory while an answer is waited for
FULL_SPEED_GC, MEMORY_LIMIT = "200", f"{MAX_MEMORY_BYTES // 1024**2}MiB"  # of Go
TOKEN_HEADER = "Trivy-Token"  # noqa: S105  # nosec B105 (a name)
CACHE_SERVICE, SCAN_SERVICE = "trivy.cache.v1.Cache", "trivy.scanner.v1.Scanner"
PACKAGE_TYPES = ["os", "library"]


class ServerFailed(Exception):
    """No server, or no answer of it that can be used: Trivy is to be asked without it."""


class ScanRefused(ServerFailed):
    """The server has said that it cannot do this; it goes on."""


@dataclass(frozen=True)
class LayerRecord:
    """A record as a server gets it. ``content`` makes the message, once for each server."""

    name: str
    content: Callable[[], bytes]


def layer_record(record: bytes, content: Callable[[], bytes]) -> LayerRecord:
    """Return a record under a name that is made of it."""
    return LayerRecord(f"sha256:{hashlib.sha256(record).hexdigest()}", content)


@dataclass(eq=False)
class _Running:
    """One server, and what it has been told."""

    process: LocalServer
    folder: Path  # of its database
    token: str
    records: set[str] = field(default_factory=set)
    idle: list[socket.socket] = field(default_factory=list)  # connections
    requests: int = 0
    users: int = 0
    used_at: float = field(default_factory=time.monotonic)


class MatchServer:
    """The server of this process, started when it is first asked. For several threads, and after a fork."""

    def __init__(self, *, max_requests: int = MAX_REQUESTS, max_memory_bytes: int = MAX_MEMORY_BYTES) -> None:
        self._max_requests, self._max_memory_bytes = max_requests, max_memory_bytes
        self._lock = threading.Lock()
        self._starting = threading.Lock()
        self._servers: dict[tuple[Path, Path], _Running] = {}  # by executable and folder of the database
        self._retired: list[_Running] = []  # of which nothing more is asked, and that end with their last answer
        self._broken_until: dict[tuple[Path, Path], float] = {}
        self._owner = os.getpid()

    def scan(
        self,
        records: Sequence[LayerRecord],
        *,
        executable: Path,
        database: Path,
        home: Path,
        scanners: Sequence[str],
        table: Table,
        check: StopCheck,
        timeout: float,
        keep: bool = True,
    ) -> Json:
        """Return what Trivy says of an image of these layers, from the base upwards, as ``table`` reads it.

        ``home`` is a folder in which the server may be started; without ``keep`` it forgets the records at once. Raises
        ServerFailed, NotEncodable, ReportTooLarge, and what ``check`` raises.
        """
        ends = time.monotonic() + timeout
        names = [record.name for record in records]
        options = {"PkgTypes": PACKAGE_TYPES, "Scanners": list(scanners)}
        request = encode(
            {"Target": "image", "ArtifactID": "none", "BlobIDs": names, "Options": options}, rpc_messages.SCAN
        )
        with self._use(executable, database, home, check) as server:
            for record in records:
                if record.name not in server.records:
                    # Its content first, for there may be no message for it.
                    body = delimited(1, record.name.encode()) + delimited(3, record.content())
                    self._ask(server, f"{CACHE_SERVICE}/PutBlob", body, check, ends)
                    server.records.add(record.name)
            answer = self._ask(server, f"{SCAN_SERVICE}/Scan", request, check, ends)
            if not keep:
                forgotten = encode({"BlobIDs": names}, rpc_messages.DELETE_BLOBS)
                self._ask(server, f"{CACHE_SERVICE}/DeleteBlobs", forgotten, check, ends)
                server.records.difference_update(names)
        try:
            return decode(answer, table)
        except NotDecodable as error:
            raise ServerFailed(f"an answer of another form: {error}") from error

    def close(self) -> None:
        """End all servers."""
        self._forget_after_fork()
        with self._lock:
            running, self._servers, self._retired = [*self._servers.values(), *self._retired], {}, []
        for server in running:
            self._end(server)

    def __del__(self) -> None:
        with suppress(Exception):  # what is left ends with this process
            self.close()

    @contextmanager
    def _use(self, executable: Path, database: Path, home: Path, check: StopCheck) -> Iterator[_Running]:
        """Give the server of a database. Where the work with it is broken off, another one takes its place."""
        server = self._acquire((executable, database), home, check)
        try:
            yield server
        except (NotEncodable, command.ReportTooLarge, ScanRefused):
            raise
        except BaseException:
            self._retire(server)  # it may be at work still on what nobody waits for
            raise
        finally:
            self._release(server)

    def _acquire(self, key: tuple[Path, Path], home: Path, check: StopCheck) -> _Running:
        self._forget_after_fork()
        if (server := self._existing(key)) is not None:
            return server
        while not self._starting.acquire(timeout=POLL_SECONDS):
            check()
        try:
            if (server := self._existing(key)) is not None:
                return server
            if time.monotonic() < self._broken_until.get(key, 0.0):
                raise ServerFailed("it could not be started a short while ago")
            try:
                server = self._start(key, home, check)
            except (OSError, ServerNotReached, ServerFailed) as error:
                log.warning("The server of Trivy could not be started: %s", error)
                self._broken_until[key] = time.monotonic() + BROKEN_SECONDS
                raise ServerFailed(str(error)) from error
            with self._lock:
                server.users += 1
                self._servers[key] = server
                oldest = [each for each in self._servers.values() if each is not server][: 1 - MAX_SERVERS]
            for other in oldest:
                self._retire(other)
            self._end_unused()
            return server
        finally:
            self._starting.release()

    def _existing(self, key: tuple[Path, Path]) -> _Running | None:
        with self._lock:
            server = self._servers.get(key)
            if server is not None and not server.process.has_ended:
                server.users += 1
                return server
        if server is not None:
            self._retire(server)
            self._end_unused()
        return None

    def _retire(self, server: _Running) -> None:
        """Ask nothing more of a server."""
        with self._lock:
            if server in self._servers.values():
                self._servers = {key: each for key, each in self._servers.items() if each is not server}
                self._retired.append(server)

    def _start(self, key: tuple[Path, Path], home: Path, check: StopCheck) -> _Running:
        if not can_serve():
            raise ServerFailed("this system grants neither namespaces nor a filter of calls")
        executable, database = key
        work, token = home / f"server-{secrets.token_hex(8)}", secrets.token_hex(16)
        (work / "cache").mkdir(mode=0o700, parents=True)
        try:
            (work / "cache" / "db").symlink_to(database, target_is_directory=True)
            process = LocalServer(
                lambda address: [
                    *(executable, "server", "--listen", address, "--cache-dir", work / "cache", "--quiet"),
                    *("--cache-backend", "memory", "--skip-db-update", "--config", ""),
                ],
                memory_bytes=HARD_MEMORY_BYTES,
                file_bytes=1024**2,
                env={
                    **command.trivy_environment(work),
                    "TRIVY_TOKEN": token,  # not on the command line, which all may read
                    "GOGC": FULL_SPEED_GC,
                    "GOMEMLIMIT": MEMORY_LIMIT,
                },
                cwd=work,
                reads=[database],
                writes=[work],
            )
            server = _Running(process, database, token)
            try:
                self._check_health(server, check)
            except BaseException:
                process.kill()
                raise
        finally:
            shutil.rmtree(work, ignore_errors=True)  # all that it needs is open by now
        self._watch_idle(server, IDLE_SECONDS)
        return server

    def _check_health(self, server: _Running, check: StopCheck) -> None:
        """Wait until the server answers."""
        way = server.process.connect(check=check, timeout=START_TIMEOUT_SECONDS)
        ends = time.monotonic() + START_TIMEOUT_SECONDS
        try:
            answer = exchange(way, _head("GET", "/healthz"), b"", max_bytes=1024, check=check, ends=ends)
        except (ExchangeFailed, AnswerTooLarge) as error:
            raise ServerFailed(f"it is not well: {error}") from error
        if answer != (200, b"ok"):
            raise ServerFailed("it is not well")
        server.idle.append(way)

    def _ask(self, server: _Running, method: str, body: bytes, check: StopCheck, ends: float) -> bytes:
        """Return the answer to one request."""
        with self._lock:
            way = server.idle.pop() if server.idle else None
            server.requests += 1
        head = _head(
            "POST", f"/twirp/{method}", f"{TOKEN_HEADER}: {server.token}", "Content-Type: application/protobuf"
        )
        try:
            way = way or server.process.connect(check=check, timeout=START_TIMEOUT_SECONDS)
            watch = _MemoryWatch(server, check)
            status, content = exchange(way, head, body, max_bytes=command.MAX_REPORT_BYTES, check=watch, ends=ends)
        except BaseException as error:
            if way is not None:
                way.close()
            if isinstance(error, AnswerTooLarge):
                raise command.report_too_large() from error
            if isinstance(error, ExchangeFailed | ServerNotReached):
                raise ServerFailed(f"it gave no answer: {error}") from error
            raise
        if status != 200:
            way.close()  # the server may have closed it too
            raise ScanRefused(f"it answered {status}: {content[:300]!a}")
        with self._lock:
            server.idle.append(way)
        return content

    def _release(self, server: _Running) -> None:
        server.process.tail()  # what it has said, lest it wait for somebody to read it
        is_worn = server.requests >= self._max_requests or server.process.memory() > self._max_memory_bytes
        with self._lock:
            server.users -= 1
            server.used_at = time.monotonic()
        if is_worn:
            self._retire(server)
        self._end_unused()

    def _end_unused(self) -> None:
        """End what nothing more is asked of."""
        with self._lock:
            ended = [server for server in self._retired if not server.users]
            self._retired = [server for server in self._retired if server.users]
        for server in ended:
            self._end(server)

    def _watch_idle(self, server: _Running, seconds: float) -> None:
        timer = threading.Timer(seconds, _end_if_idle, args=[weakref.ref(self), server])
        timer.daemon = True
        timer.start()

    def _end_if_idle(self, server: _Running) -> None:
        with self._lock:
            if server not in self._servers.values():
                return
            left = IDLE_SECONDS if server.users else server.used_at + IDLE_SECONDS - time.monotonic()
        if left <= 0:
            self._retire(server)
            self._end_unused()
        else:
            self._watch_idle(server, left + 1)

    def _end(self, server: _Running) -> None:
        for way in server.idle:
            way.close()
        server.process.kill()

    def _forget_after_fork(self) -> None:
        """Let go of servers that another process has started."""
        if self._owner == os.getpid():
            return
        self._lock, self._starting, self._owner = threading.Lock(), threading.Lock(), os.getpid()
        for server in (*self._servers.values(), *self._retired):
            for way in server.idle:
                way.close()
            server.process.detach()
        self._servers, self._retired, self._broken_until = {}, [], {}


class _MemoryWatch:
    """A check that also ends the wait for a server that grows beyond its bound."""

    def __init__(self, server: _Running, check: StopCheck) -> None:
        self._server, self._check, self._looked_at = server, check, time.monotonic()

    def __call__(self) -> None:
        """Raise where the work must stop."""
        self._check()
        now = time.monotonic()
        if now - self._looked_at >= MEMORY_POLL_SECONDS:
            self._looked_at = now
            if self._server.process.memory() > HARD_MEMORY_BYTES:
                raise ServerFailed("it takes too much memory")


def _head(method: str, path: str, *headers: str) -> str:
    return "".join(f"{line}\r\n" for line in (f"{method} {path} HTTP/1.1", "Host: trivy", *headers))


def _end_if_idle(owner: weakref.ref[MatchServer], server: _Running) -> None:
    if (servers := owner()) is not None:
        servers._end_if_idle(server)
