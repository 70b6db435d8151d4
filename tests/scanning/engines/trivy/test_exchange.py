"""A request to a server that was taken over: whoever waits can stop, and takes for an answer what is one alone."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator

import pytest

from scanning.engines.trivy.exchange import AnswerTooLarge, ExchangeFailed, exchange

HEAD = "POST /twirp HTTP/1.1\r\nHost: trivy\r\n"
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nVary: x\r\n\r\nhello"


class Stop(Exception):
    """What ``check`` raises in these tests."""


@pytest.fixture
def ends() -> Iterator[tuple[socket.socket, socket.socket]]:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield ours, theirs


def ask(way: socket.socket, body: bytes = b"x", **changes: object) -> tuple[int, bytes]:
    options: dict[str, object] = {"max_bytes": 1000, "check": lambda: None, "ends": time.monotonic() + 60}
    return exchange(way, HEAD, body, **{**options, **changes})  # type: ignore[arg-type]


def test_requests_and_answers_follow_each_other(ends: tuple[socket.socket, socket.socket]) -> None:
    ours, theirs = ends
    for status in (b"200", b"500"):
        theirs.sendall(ANSWER.replace(b"200", status))
        assert ask(ours, b"body") == (int(status), b"hello")
        assert theirs.recv(1000) == HEAD.encode() + b"Content-Length: 4\r\n\r\nbody"


def test_an_answer_that_comes_byte_by_byte_is_one(ends: tuple[socket.socket, socket.socket]) -> None:
    ours, theirs = ends

    def drip() -> None:
        for byte in ANSWER:
            theirs.send(bytes([byte]))
            time.sleep(0.001)

    thread = threading.Thread(target=drip)
    thread.start()
    assert ask(ours) == (200, b"hello")
    thread.join()


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (b"", ExchangeFailed),
        (ANSWER[:-1], ExchangeFailed),
        (ANSWER + b"more", ExchangeFailed),
        (b"SSH-2.0-x\r\n\r\n", ExchangeFailed),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", ExchangeFailed),
        (b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\nhello", ExchangeFailed),
        (b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 10_000, ExchangeFailed),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 1001\r\n\r\n", AnswerTooLarge),
    ],
    ids=["none", "cut off", "too much", "no HTTP", "no length", "odd length", "endless head", "too large"],
)
def test_what_is_no_answer_is_not_taken_for_one(
    ends: tuple[socket.socket, socket.socket], answer: bytes, error: type[Exception]
) -> None:
    ours, theirs = ends
    theirs.sendall(answer)
    theirs.shutdown(socket.SHUT_WR)
    with pytest.raises(error):
        ask(ours)


@pytest.mark.parametrize("reads", [False, True], ids=["reads nothing", "answers for ever"])
def test_whoever_waits_can_stop_whatever_the_server_does(
    ends: tuple[socket.socket, socket.socket], reads: bool
) -> None:
    ours, theirs = ends
    began = time.monotonic()

    def check() -> None:
        if reads:
            time.sleep(0.001)
            theirs.send(b"H")
        if time.monotonic() - began > 0.3:
            raise Stop

    with pytest.raises(Stop):
        ask(ours, b"x" * (1 << 10 if reads else 1 << 26), check=check)
    with pytest.raises(ExchangeFailed, match="too long" if not reads else "."):
        ask(ours, b"x" * (1 << 26), ends=time.monotonic() + 0.2)
    assert time.monotonic() - began < 30
