"""The web server, with real connections that are slow, many, large or in the way."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

from console.server import web as server_web
from console.server.programs import ListenError, listen_at
from console.server.web import Renewal, TcpServer, UnixServer

LARGE = 8 * 1024**2
Start = Callable[..., "Served"]


def wait_for(is_so: Callable[[], bool], *, what: str) -> None:
    end = time.monotonic() + 20
    while not is_so():
        assert time.monotonic() < end, f"waited in vain for {what}"
        time.sleep(0.01)


class Served:
    """A server that runs in a thread, and what its application was asked."""

    def __init__(self, listener: socket.socket, file: Path, **options: Any) -> None:
        self.address = listener.getsockname()
        self.family = listener.family
        self.environments: list[dict[str, Any]] = []
        self.go_on = threading.Event()
        self._file = file
        self.server: TcpServer | UnixServer = server_web.create_server(self._answer, listener, **options)
        self.thread = threading.Thread(target=self.server.run)
        self.thread.start()

    def _answer(self, environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        self.environments.append(environ)
        path = environ["PATH_INFO"]
        if path == "/waits":
            self.go_on.wait(20)
        if path == "/file":
            start("200 OK", [("Content-Length", str(LARGE))])
            return environ["wsgi.file_wrapper"](self._file.open("rb"))  # type: ignore[no-any-return]
        body = b"x" * LARGE if path == "/large" else environ["wsgi.input"].read() or b"good"
        start("200 OK", [("Content-Length", str(len(body)))])
        return [body]

    def connect(self, sent: bytes = b"", *, receive_buffer: int = 0) -> socket.socket:
        sock = socket.socket(self.family)
        sock.settimeout(20)
        if receive_buffer:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        sock.connect(self.address)
        sock.sendall(sent)
        return sock

    def ask(self, request: bytes = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n") -> bytes:
        """Return the answer to a request, headers and body."""
        with self.connect(request) as sock:
            return read_answer(sock)


def read_answer(sock: socket.socket) -> bytes:
    """Read one answer that has a length, or all until the end."""
    got = b""
    while b"\r\n\r\n" not in got:
        part = sock.recv(65536)
        if not part:
            return got
        got += part
    head, _, body = got.partition(b"\r\n\r\n")
    length = next(
        int(line.split(b":")[1]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length")
    )
    while len(body) < length:
        part = sock.recv(65536)
        if not part:
            break
        body += part
    return head + b"\r\n\r\n" + body


def is_cut(sock: socket.socket) -> bool:
    """Read what comes until the server closes; return whether it does."""
    try:
        while sock.recv(65536):
            pass
    except TimeoutError:
        return False
    except OSError:
        return True
    return True


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    file = tmp_path / "file"
    file.write_bytes(b"y" * LARGE)
    started: list[Served] = []

    def run(where: str = "127.0.0.1:0", **options: Any) -> Served:
        started.append(Served(listen_at(where), file, **options))
        return started[-1]

    yield run
    for served in started:
        served.go_on.set()
        served.server.stop(0)
        served.thread.join()


def test_slow_clients_of_every_kind_keep_nobody_waiting(start: Start) -> None:
    served = start(threads=1)
    slow = [
        *(served.connect(b"GET / HTTP/1.1\r\nX-Slow: ") for _ in range(20)),
        *(served.connect(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\nx") for _ in range(20)),
        *(served.connect(b"GET /large HTTP/1.1\r\nHost: x\r\n\r\n", receive_buffer=4096) for _ in range(5)),
        *(served.connect(b"GET /file HTTP/1.1\r\nHost: x\r\n\r\n" * 3, receive_buffer=4096) for _ in range(20)),
        *(served.connect(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n") for _ in range(20)),
        *(served.connect() for _ in range(20)),
    ]
    for _ in range(5):
        assert served.ask().endswith(b"\r\n\r\ngood")
    for sock in slow:
        sock.close()


def test_a_client_that_reads_slowly_gets_all_of_a_large_answer(start: Start) -> None:
    served = start(threads=1)
    for path in (b"/large", b"/file"):
        with served.connect(b"GET " + path + b" HTTP/1.1\r\nHost: x\r\n\r\n", receive_buffer=4096) as slow:
            assert served.ask().endswith(b"good")
            assert len(read_answer(slow).partition(b"\r\n\r\n")[2]) == LARGE


@pytest.mark.parametrize(
    ("seconds", "sent"),
    [
        ("HEADER_TIMEOUT_SECONDS", b"GET / HTTP/1.1\r\nX-Slow: "),
        ("HEADER_TIMEOUT_SECONDS", b""),
        ("BODY_TIMEOUT_SECONDS", b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n"),
        ("BODY_TIMEOUT_SECONDS", b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nffff\r\n"),
    ],
)
def test_a_request_that_trickles_is_cut_off(
    start: Start, monkeypatch: pytest.MonkeyPatch, seconds: str, sent: bytes
) -> None:
    for name in ("HEADER_TIMEOUT_SECONDS", "BODY_TIMEOUT_SECONDS", "KEEP_ALIVE_SECONDS"):
        monkeypatch.setattr(server_web, name, 0.5 if name == seconds else 300)
    monkeypatch.setattr(server_web, "POLL_SECONDS", 0.1)
    served = start()
    with served.connect(sent) as sock:
        with contextlib.suppress(OSError):
            while sent:
                time.sleep(0.05)
                sock.sendall(b"x")  # fails once the server has closed
        assert is_cut(sock)
    assert not served.server.active_channels


def test_a_connection_that_asks_for_nothing_more_is_closed_later_than_one_that_never_asked(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server_web, "HEADER_TIMEOUT_SECONDS", 0.3)
    monkeypatch.setattr(server_web, "POLL_SECONDS", 0.1)
    served = start()
    with served.connect() as never, served.connect(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n") as idle:
        assert read_answer(idle).endswith(b"good")
        assert is_cut(never)
        idle.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        assert read_answer(idle).endswith(b"good")
        monkeypatch.setattr(server_web, "KEEP_ALIVE_SECONDS", 0.3)
        assert is_cut(idle)


@pytest.mark.parametrize("path", [b"/large", b"/file"])
def test_an_answer_that_nobody_takes_is_given_up(start: Start, monkeypatch: pytest.MonkeyPatch, path: bytes) -> None:
    monkeypatch.setattr(server_web, "RESPONSE_STALL_SECONDS", 0.5)
    monkeypatch.setattr(server_web, "POLL_SECONDS", 0.1)
    served = start()
    with served.connect(b"GET " + path + b" HTTP/1.1\r\nHost: x\r\n\r\n", receive_buffer=4096) as sock:
        ends = time.monotonic() + 20
        while served.server.active_channels or not served.environments:
            assert time.monotonic() < ends, "it is still held"
            time.sleep(0.05)
        assert len(read_answer(sock)) < LARGE


def test_too_many_connections_cost_the_one_that_has_waited_longest(start: Start) -> None:
    served = start(connections=10, threads=2)
    with served.connect(b"GET /waits HTTP/1.1\r\nHost: x\r\n\r\n") as working:
        many = [served.connect(b"GET / HTTP/1.1\r\nX-Slow: ") for _ in range(30)]
        assert served.ask().endswith(b"good")
        assert all(is_cut(sock) for sock in many[:20])
        assert len(served.server.active_channels) <= 10
        served.go_on.set()
        assert read_answer(working).endswith(b"good"), "who is served is never the one that goes"
    for sock in many:
        sock.close()


def test_room_is_made_by_a_connection_that_asks_for_nothing_before_one_that_takes_its_answer(start: Start) -> None:
    served = start(connections=2, threads=1)

    def nobody_is_served() -> bool:
        return not any(each.is_served for each in list(served.server.active_channels.values()))

    with served.connect(b"GET /large HTTP/1.1\r\nHost: x\r\n\r\n") as taking:
        wait_for(
            lambda: any(each.total_outbufs_len for each in list(served.server.active_channels.values())),
            what="an answer on its way",
        )
        with served.connect(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n") as idle:
            assert read_answer(idle).endswith(b"good")
            wait_for(nobody_is_served, what="the end of the work")
            assert served.ask().endswith(b"good")
            assert is_cut(idle)
        assert len(read_answer(taking)) > LARGE, "it has waited longer, but not for us"


def test_bodies_that_come_are_bounded_together(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_web, "MAX_PENDING_BODIES_BYTES", 200_000)
    monkeypatch.setattr(server_web, "POLL_SECONDS", 0.1)
    served = start()
    head = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 200000\r\n\r\n"
    many = [served.connect(head + b"x" * 90_000) for _ in range(4)]
    assert [is_cut(sock) for sock in many[:2]] == [True, True], "the oldest go"
    many[3].sendall(b"x" * 110_000)
    assert len(read_answer(many[3])) > 200_000
    for sock in many:
        sock.close()


@pytest.mark.parametrize(
    ("request_text", "status"),
    [
        (b"GET /" + b"a" * 40_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n", b"431"),
        (b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"a" * 40_000 + b"\r\n\r\n", b"431"),
        (b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999\r\n\r\n", b"413"),
        (b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: -5\r\n\r\n", b"400"),
        (b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab", b"400"),
        (b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip\r\n\r\nab", b"501"),
        (b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nno size\r\n", b"400"),
        (b"GET / HTTP/1.1\r\nHost: x\r\nX: a\r\n folded\x00\r\n\r\n", b"400"),
        (b"not http at all\r\n\r\n", b"400"),
    ],
)
def test_what_is_no_request_is_refused_before_django(start: Start, request_text: bytes, status: bytes) -> None:
    served = start()
    assert served.ask(request_text).split(b" ")[1] == status
    assert not served.environments
    assert served.ask().endswith(b"good")


def test_headers_with_underscores_do_not_pass_for_those_with_dashes(start: Start) -> None:
    served = start()
    served.ask(b"GET / HTTP/1.1\r\nHost: x\r\nX_Forwarded_For: 6.6.6.6\r\n\r\n")
    assert "HTTP_X_FORWARDED_FOR" not in served.environments[0]
    assert served.environments[0]["REMOTE_ADDR"] == "127.0.0.1"


def test_who_is_served_at_the_end_gets_the_answer_and_nobody_else_is_let_in(start: Start) -> None:
    served = start()
    with (
        served.connect(b"GET /waits HTTP/1.1\r\nHost: x\r\n\r\n") as working,
        served.connect(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n") as idle,
    ):
        assert read_answer(idle).endswith(b"good")
        served.server.stop(20)
        assert is_cut(idle)
        with pytest.raises(OSError):  # noqa: PT012
            served.connect().close()
            served.connect().close()
        served.go_on.set()
        assert read_answer(working).endswith(b"good")
    served.thread.join(20)
    assert not served.thread.is_alive()


def test_a_client_that_never_ends_does_not_keep_the_server_from_ending(start: Start) -> None:
    served = start()
    with served.connect(b"GET / HTTP/1.1\r\nX-Slow: "):
        assert served.ask().endswith(b"good")
        served.server.stop(0.3)
        served.thread.join(20)
        assert not served.thread.is_alive()


def test_a_process_makes_way_for_a_fresh_one_after_so_many_requests(start: Start) -> None:
    served = start(requests=3)
    for _ in range(3):
        assert served.ask().endswith(b"good")
    served.thread.join(20)
    assert not served.thread.is_alive()


def test_one_process_at_a_time_makes_way_so_that_slow_clients_cannot_have_all_of_them_accept_nobody(
    start: Start,
) -> None:
    first, second = start(requests=2, may_renew=Renewal()), start(requests=2, may_renew=Renewal())
    slow = [each.connect(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n") for each in (first, second)]
    for served in (first, first):
        assert served.ask().endswith(b"good")
    wait_for(lambda: not first.server.accepting, what="the first making way")  # it counts when the answer is gone
    for _ in range(3):
        assert second.ask().endswith(b"good")
    slow[0].sendall(b"x" * 9)
    assert read_answer(slow[0]).endswith(b"x" * 9), "it serves what has begun"
    for sock in slow:
        sock.close()
    first.thread.join(20)
    assert not first.thread.is_alive()
    assert second.ask().endswith(b"good")


def test_a_process_that_makes_way_serves_whoever_it_has_just_accepted(start: Start) -> None:
    served = start(requests=1)
    with served.connect() as early:
        wait_for(lambda: bool(served.server.active_channels), what="the connection")
        assert served.ask().endswith(b"good")
        wait_for(lambda: not served.server.accepting, what="making way")
        time.sleep(0.2)
        early.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        assert read_answer(early).endswith(b"good")
        served.thread.join(20)
        assert not served.thread.is_alive()


def test_a_process_that_makes_way_waits_for_no_client_that_is_too_slow(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server_web, "BODY_TIMEOUT_SECONDS", 2.0)
    served = start(requests=1)
    with served.connect(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n"):
        assert served.ask().endswith(b"good")
        served.thread.join(20)
        assert not served.thread.is_alive()


def test_a_file_is_listened_at_like_an_address(start: Start, tmp_path: Path) -> None:
    path = tmp_path / "console.sock"
    served = start(f"unix:{path}")
    assert served.ask().endswith(b"good")
    assert served.environments[0]["REMOTE_ADDR"] == ""
    with pytest.raises(ListenError, match="cannot listen"):
        listen_at(f"unix:{path}")
    served.server.stop(0)
    served.thread.join()
    listen_at(f"unix:{path}").close()  # what a console that is gone has left is no obstacle


def test_what_cannot_be_listened_at_is_said_with_a_remedy(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        for where in (
            f"127.0.0.1:{taken.getsockname()[1]}",
            "127.0.0.1",
            "127.0.0.1:http",
            "127.0.0.1:99999",
            "256.0.0.1:80",
            f"unix:{tmp_path}/none/here",
            f"unix:{tmp_path}/file",
        ):
            with pytest.raises(ListenError, match=r"(Set|set|Write)"):
                listen_at(where).close()
    with listen_at("[::1]:0") as listener:
        assert listener.family == socket.AF_INET6


def test_the_kernel_holds_little_of_an_answer_so_that_what_is_not_taken_is_seen(start: Start) -> None:
    served = start()
    with served.connect(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n") as sock:
        read_answer(sock)
        (channel,) = served.server.active_channels.values()
        held = channel.socket.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF)
        assert held <= 2 * server_web.SEND_BUFFER_BYTES  # Linux counts its own bookkeeping too


@pytest.mark.parametrize(
    "head",
    [
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"POST / HTTP/1.1\r\ntransfer-encoding:chunked\r\nHost: x\r\ncontent-length:\t5\r\n\r\n",
        b"POST / HTTP/1.0\r\nConnection: keep-alive\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n",
        b"POST / HTTP/1.0\r\nConnection: keep-alive\r\nTransfer-Encoding: chunked\r\n\r\n",
    ],
)
def test_a_request_whose_end_a_proxy_may_see_elsewhere_is_refused_with_all_that_follows(
    start: Start, head: bytes
) -> None:
    served = start()
    with served.connect(head + b"0\r\n\r\nGET /large HTTP/1.1\r\nHost: x\r\n\r\n") as sock:
        got = b""
        while part := sock.recv(65536):
            got += part
    assert got.startswith((b"HTTP/1.1 400", b"HTTP/1.0 400"))
    assert got.count(b"HTTP/1.") == 1


def test_a_body_in_chunks_is_taken(start: Start) -> None:
    served = start()
    request = b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"
    with served.connect(request) as sock:
        assert read_answer(sock).startswith(b"HTTP/1.1 200")
