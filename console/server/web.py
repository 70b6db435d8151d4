"""The web server of the console: one process of several that share a listening socket.

waitress reads a whole request, and keeps what of an answer the client has not taken, in one thread that waits for no
client; only complete requests get one of the threads that run Django. This module adds what waitress lacks: a request
must be there in a given time however it trickles, an answer must be taken, the connection that has waited longest makes
room where there are too many, and a process that is to end serves what it has begun.

    python -m console.server.web FILE_DESCRIPTOR
"""

from __future__ import annotations

import logging
import os
import random
import re
import resource
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from types import FrameType
from typing import Any

from django.core.servers.basehttp import get_internal_wsgi_application
from waitress import wasyncore
from waitress.adjustments import Adjustments
from waitress.channel import HTTPChannel
from waitress.parser import HTTPRequestParser, ParsingError
from waitress.server import TcpWSGIServer, UnixWSGIServer
from waitress.task import ThreadedTaskDispatcher

THREADS_PER_PROCESS = 4  # pages wait for the database, not for the processor
MAX_CONNECTIONS = 1000  # of one process; each may need a temporary file
HEADER_TIMEOUT_SECONDS = 15.0  # from the connection or the first byte of a request to the end of its headers
BODY_TIMEOUT_SECONDS = 60.0  # from there to the end of its body
RESPONSE_STALL_SECONDS = 60.0  # in which a client takes nothing; SEND_BUFFER_BYTES make that about 1 KiB a second
KEEP_ALIVE_SECONDS = 75.0  # between two requests; more than the 60 that proxies keep a connection for
SEND_BUFFER_BYTES = 128 * 1024
MAX_HEADER_BYTES = 32 * 1024
MAX_BODY_BYTES = 4 * 1024**2  # Django takes 2.5 MB of fields
MAX_PENDING_BODIES_BYTES = 64 * 1024**2  # of all requests that are not complete, together
BODY_MEMORY_BYTES = 64 * 1024  # the rest of a body goes to a temporary file
RESPONSE_MEMORY_BYTES = 256 * 1024  # likewise
POLL_SECONDS = 1.0
SHUTDOWN_SECONDS = 8.0  # to serve what has begun; a service manager waits 45 for all of the console
MAX_REQUESTS_PER_PROCESS = 5000  # after which a process makes way for a fresh one
FIRST_REQUEST_SECONDS = 1.0  # that a new connection has for its first byte from a process that is to end
RENEWAL_SHUTDOWN_SECONDS = 120.0  # to serve what has begun then

logger = logging.getLogger(__name__)

Application = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]


class StrictRequestParser(HTTPRequestParser):  # type: ignore[misc]
    """Refuses requests whose end a proxy may see elsewhere: what follows would be somebody else's request there."""

    def parse_header(self, header_plus: bytes) -> None:
        """Read the headers. Raises ParsingError for a body of two lengths, and for chunks before HTTP/1.1."""
        both = re.search(rb"(?im)^transfer-encoding[ \t]*:", header_plus) and re.search(
            rb"(?im)^content-length[ \t]*:", header_plus
        )
        super().parse_header(header_plus)
        if both or "TRANSFER_ENCODING" in self.headers:
            raise ParsingError("Content-Length beside Transfer-Encoding, or the latter in an old version")


class Channel(HTTPChannel):  # type: ignore[misc]
    """A connection that knows since when it has waited for its client."""

    parser_class = StrictRequestParser

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.began = time.monotonic()  # of the connection, of the request that comes, or of the wait for the next one
        self.taken = self.began  # when the client last took a part of an answer
        self.served = 0

    def received(self, data: bytes) -> bool:
        """Take what has come; note when a request begins and when it is complete."""
        if self.request is None:
            self.began = time.monotonic()
        return bool(super().received(data))

    def service(self) -> None:
        """Run Django, in one of the threads."""
        super().service()
        self.served += 1
        self.began = self.taken = time.monotonic()
        self.server.count()

    def _flush_some(self, do_close: bool = True) -> bool:
        sent = bool(super()._flush_some(do_close=do_close))
        if sent:
            self.taken = time.monotonic()
            if not self.requests:
                self.began = self.taken  # the wait for the next request begins when the answer is gone
        return sent

    @property
    def is_served(self) -> bool:
        """Whether Django works for it, or is about to."""
        return bool(self.requests)

    @property
    def body_bytes(self) -> int:
        """How much of a body is there of the request that comes."""
        coming: HTTPRequestParser | None = self.request
        return int(coming.body_bytes_received) if coming is not None else 0

    def is_overdue(self, now: float) -> bool:
        """Return whether its client is too slow, by the monotonic clock."""
        if self.total_outbufs_len:
            return now - self.taken > RESPONSE_STALL_SECONDS
        if self.is_served:
            return False
        waited = now - self.began
        if self.request is None:
            return waited > (KEEP_ALIVE_SECONDS if self.served else HEADER_TIMEOUT_SECONDS)
        return waited > (BODY_TIMEOUT_SECONDS if self.request.headers_finished else HEADER_TIMEOUT_SECONDS)

    def is_idle(self, now: float) -> bool:
        """Return whether its client wants nothing, by the monotonic clock. The first request of one may be on its way.

        Closing it then would answer that request with a reset.
        """
        if self.is_served or self.total_outbufs_len or self.request is not None:
            return False
        return bool(self.served) or now - self.began > FIRST_REQUEST_SECONDS

    def close_now(self) -> None:
        """Close it now, whatever was not sent."""
        self.handle_close()


class _BoundedServer:
    """What the servers for TCP and for UNIX sockets share."""

    channel_class = Channel
    active_channels: dict[int, Channel]
    accepting: bool
    pull_trigger: Callable[[], None]

    def __init__(
        self, *args: Any, connections: int, requests: int, may_renew: Callable[[], bool], **options: Any
    ) -> None:
        self._connections, self._requests, self._may_renew = connections, requests, may_renew
        self._served = 0
        self._stop_seconds: float | None = None
        self._next_check = 0.0
        super().__init__(*args, **options)

    def count(self) -> None:
        """Note that a request was served; with enough of them the process makes way for a fresh one, if it may."""
        self._served += 1
        if self._served >= self._requests and self._stop_seconds is None and self._may_renew():
            self.stop(RENEWAL_SHUTDOWN_SECONDS)

    def stop(self, seconds: float) -> None:
        """Accept no connection any more, and end when those that are served have got their answer, or in ``seconds``.

        Safe in a signal handler and in any thread.
        """
        self._stop_seconds = seconds if self._stop_seconds is None else min(seconds, self._stop_seconds)
        self.pull_trigger()

    def readable(self) -> bool:
        """Return whether it accepts connections; also where waitress has its chance to look after them."""
        if (now := time.monotonic()) >= self._next_check:
            self._next_check = now + POLL_SECONDS
            self._enforce_bounds(now)
        return self.accepting

    def handle_accept(self) -> None:
        """Accept a connection; where there are too many, the one that has waited longest goes."""
        super().handle_accept()  # type: ignore[misc]
        while len(self.active_channels) > self._connections and self._make_room():
            pass

    def run(self) -> None:
        """Serve until somebody stops it."""
        while self._stop_seconds is None:
            wasyncore.poll2(POLL_SECONDS, self._map)  # type: ignore[attr-defined]
        began = time.monotonic()
        self.accepting = False
        self.del_channel()  # type: ignore[attr-defined]
        self.socket.close()  # type: ignore[attr-defined]
        while self.active_channels and (now := time.monotonic()) - began < self._stop_seconds:
            self._enforce_bounds(now)
            for channel in list(self.active_channels.values()):
                if channel.is_idle(now):
                    channel.close_now()
            wasyncore.poll2(0.1, self._map)  # type: ignore[attr-defined]

    def _enforce_bounds(self, now: float) -> None:
        for channel in list(self.active_channels.values()):
            if channel.is_overdue(now):
                channel.close_now()
        pending_bytes = sum(channel.body_bytes for channel in self.active_channels.values())
        for channel in sorted(self.active_channels.values(), key=lambda each: each.began):
            if pending_bytes <= MAX_PENDING_BODIES_BYTES:
                return
            if channel.body_bytes:
                pending_bytes -= channel.body_bytes
                channel.close_now()

    def _make_room(self) -> bool:
        """Close a connection that nobody works for: an idle one, else one whose request comes or whose answer goes."""
        waiting = [channel for channel in self.active_channels.values() if not channel.is_served]
        if not waiting:
            return False
        waiting.sort(key=lambda each: (bool(each.total_outbufs_len), each.began))
        waiting[0].close_now()
        return True


class TcpServer(_BoundedServer, TcpWSGIServer):  # type: ignore[misc]
    """Listens at an address."""

    def set_socket_options(self, conn: socket.socket) -> None:
        """Send at once, and let the kernel hold little: what is not taken must be seen."""
        conn.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        conn.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)


class UnixServer(_BoundedServer, UnixWSGIServer):  # type: ignore[misc]
    """Listens at a file."""

    def fix_addr(self, _address: object) -> tuple[str, str]:
        """Return the address of a client: it has none."""
        return "", ""


def create_server(
    application: Application,
    listener: socket.socket,
    *,
    threads: int = THREADS_PER_PROCESS,
    connections: int = MAX_CONNECTIONS,
    requests: int = MAX_REQUESTS_PER_PROCESS,
    may_renew: Callable[[], bool] = lambda: True,
) -> TcpServer | UnixServer:
    """Return a server for ``application`` at ``listener``, which listens already.

    After ``requests`` it ends for a fresh one, as soon as ``may_renew`` says that no other does.
    """
    adjustments = Adjustments(
        sockets=[listener],
        threads=threads,
        ident=None,
        backlog=1024,
        max_request_header_size=MAX_HEADER_BYTES,
        max_request_body_size=MAX_BODY_BYTES,
        inbuf_overflow=BODY_MEMORY_BYTES,
        outbuf_overflow=RESPONSE_MEMORY_BYTES,
        log_socket_errors=False,
        clear_untrusted_proxy_headers=False,  # console.server.reverse_proxies judges them
    )
    dispatcher = ThreadedTaskDispatcher()
    dispatcher.set_thread_count(threads)
    kind = UnixServer if listener.family == socket.AF_UNIX else TcpServer
    return kind(
        application,
        {},
        _sock=listener,
        dispatcher=dispatcher,
        adj=adjustments,
        bind_socket=False,
        sockinfo=(listener.family, listener.type, listener.proto, listener.getsockname()),
        connections=connections,
        requests=requests,
        may_renew=may_renew,
    )


def allowed_connections() -> int:
    """Let this process open as many files as it may; return how many connections that is enough for."""
    _soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted_files = 4 * MAX_CONNECTIONS
    files = wanted_files if hard == resource.RLIM_INFINITY else min(hard, wanted_files)
    resource.setrlimit(resource.RLIMIT_NOFILE, (files, hard))
    return max(min(MAX_CONNECTIONS, files // 3), 50)


class Renewal:
    """Whether this process may make way: one at a time on this machine, until it is gone.

    It accepts nobody while it serves the last ones, who may be slow on purpose: else all could be in that state.
    """

    def __init__(self) -> None:
        self._held_slot = ExitStack()  # to the end of the process

    def __call__(self) -> bool:
        """Return whether it may, and have it be the one."""
        from console.jobs.slots import machine_slot

        with ExitStack() as slot:
            if slot.enter_context(machine_slot("web-renewal", 1)):
                self._held_slot.push(slot.pop_all())
                return True
        return False


def serve(listener: socket.socket) -> None:
    """Serve the console at ``listener``, which listens already, until SIGTERM."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "console.settings")
    connections = allowed_connections()
    server = create_server(
        get_internal_wsgi_application(),
        listener,
        connections=connections,
        requests=MAX_REQUESTS_PER_PROCESS + random.randrange(MAX_REQUESTS_PER_PROCESS // 10),  # noqa: S311  # nosec B311  # not all at once
        may_renew=Renewal(),
    )

    def stop(_number: int, _frame: FrameType | None) -> None:
        server.stop(SHUTDOWN_SECONDS)

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    server.run()


if __name__ == "__main__":
    serve(socket.socket(fileno=int(sys.argv[1])))
