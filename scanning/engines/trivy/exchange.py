"""One request and its answer over a connection into the sandbox: HTTP/1.1, as far as Trivy's server speaks it.

Who has taken that server over may answer byte by byte, or not at all: so whoever waits may stop at any time.
"""

from __future__ import annotations

import re
import select
import socket
import time

from scanning.engines.base import StopCheck

POLL_SECONDS = 0.1
CHUNK_BYTES = 1 << 18
MAX_HEAD_BYTES = 16 * 1024
_STATUS = re.compile(rb"HTTP/1\.1 (\d{3}) ")
_LENGTH = re.compile(rb"\r\nContent-Length: (\d{1,18})\r\n", re.IGNORECASE)


class ExchangeFailed(Exception):
    """There was no answer, or one that is none."""


class AnswerTooLarge(Exception):
    """The answer is longer than what is read."""


def exchange(
    way: socket.socket, head: str, body: bytes, *, max_bytes: int, check: StopCheck, ends: float
) -> tuple[int, bytes]:
    """Send a request, ``head`` (lines without the last empty one) and ``body``, and return status and content.

    ``ends`` is a time of ``time.monotonic()``. The connection can be used again after an answer, and not after an
    error. Raises ExchangeFailed, AnswerTooLarge, and what ``check`` raises.
    """
    way.setblocking(False)
    try:
        _send(way, f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body, check, ends)
        received = bytearray()
        while (end := received.find(b"\r\n\r\n")) < 0:
            if len(received) > MAX_HEAD_BYTES:
                raise ExchangeFailed("an answer without a head")
            received += _receive(way, check, ends)
        status, length = _STATUS.match(received), _LENGTH.search(received, 0, end + 2)
        if status is None or length is None:
            raise ExchangeFailed("an answer of another form")
        total = end + 4 + int(length[1])
        if int(length[1]) > max_bytes:
            raise AnswerTooLarge
        while len(received) < total:
            received += _receive(way, check, ends)
    except OSError as error:
        raise ExchangeFailed(repr(error)) from error
    if len(received) > total:
        raise ExchangeFailed("more than an answer")
    return int(status[1]), bytes(received[end + 4 :])


def _send(way: socket.socket, data: bytes, check: StopCheck, ends: float) -> None:
    left = memoryview(data)
    while left:
        _wait(way, select.POLLOUT, check, ends)
        left = left[way.send(left[:CHUNK_BYTES]) :]


def _receive(way: socket.socket, check: StopCheck, ends: float) -> bytes:
    _wait(way, select.POLLIN, check, ends)
    if not (chunk := way.recv(CHUNK_BYTES)):
        raise ExchangeFailed("the connection was closed")
    return chunk


def _wait(way: socket.socket, event: int, check: StopCheck, ends: float) -> None:
    poll = select.poll()
    poll.register(way, event)
    while True:
        check()
        if poll.poll(POLL_SECONDS * 1000):
            return
        if time.monotonic() > ends:
            raise ExchangeFailed("it took too long")
