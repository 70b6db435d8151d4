"""Registries that fail: what is tried again, how long, and what is said in the end."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
import tracemalloc
from datetime import UTC, datetime

import pytest

from registries.oci import (
    ConnectionRefused,
    MalformedResponse,
    NameNotResolved,
    NotARegistry,
    NotFound,
    RateLimited,
    RegistryError,
    ServerError,
    TimedOut,
    TooLarge,
    Unreachable,
    connections,
    parse_manifest,
    transport,
)
from tests.fakes import images
from tests.fakes.registry import (
    GATEWAY,
    HTML,
    Body,
    DecompressionBomb,
    EndlessBody,
    Headers,
    Scripted,
    SlowBody,
    Status,
    Truncate,
    anything,
    catalog,
    json_body,
    manifests,
    rate_limited,
    reset,
    retry_date,
    root,
    silence,
    tags,
)


class Cancelled(Exception):
    """What a job raises to stop."""


@pytest.fixture
def filled(registry):
    images.image({"a": b"1"}).put(registry, "app", "1")
    return registry


@pytest.fixture
def impatient(monkeypatch):
    """Half a second in place of half a minute."""
    monkeypatch.setattr(transport, "RESPONSE_HEAD_SECONDS", 0.5)
    for name in ("READ_TIMEOUT_SECONDS", "THROUGHPUT_WINDOW_SECONDS"):
        monkeypatch.setattr(connections, name, 0.5)


def test_a_burst_of_503_is_ridden_out(serve, connect):
    registry = serve(seed=7)
    made = images.image({"a": b"1"})
    for number in range(30):
        made.put(registry, f"app{number}", "1")
    registry.fail(anything, Status(503), chance=0.3)
    client = connect(registry)
    names = [(name, tag) for name in client.repositories() for tag in client.tags(name)]
    assert len(names) == 30


@pytest.mark.parametrize("fault", [Status(502), GATEWAY, Status(504), reset, rate_limited()])
def test_what_may_pass_is_tried_five_times(filled, connect, fault):
    filled.fail(tags, fault, times=4)
    assert list(connect(filled).tags("app")) == ["1"]
    filled.fail(tags, fault)
    before = len(filled.requests(tags))
    with pytest.raises((ServerError, Unreachable, RateLimited)) as error:
        list(connect(filled).tags("app"))
    assert len(filled.requests(tags)) == before + 5
    assert error.value.retry


@pytest.mark.parametrize("status", [400, 403, 404, 406, 410, 412, 422, 500, 501])
def test_what_will_not_pass_is_asked_once(filled, connect, status):
    filled.fail(manifests, Status(status))
    with pytest.raises(Exception, match=str(status) if status in {406, 422, 500} else None) as error:
        connect(filled).manifest("app", "1")
    assert len(filled.requests(manifests)) == 1
    assert error.value.reason
    assert error.value.remedy


@pytest.mark.parametrize("told", [lambda: "2", lambda: retry_date(3)], ids=["seconds", "date"])
def test_the_registry_says_when_to_come_back(filled, connect, told):
    filled.fail(tags, rate_limited(told()), times=1)
    assert list(connect(filled).tags("app")) == ["1"]
    first, second, _probe = filled.requests(tags)
    assert second.at - first.at >= 1.9


@pytest.mark.parametrize("told", ["1000000000", "Fri, 31 Dec 9999 23:59:59 GMT"])
def test_no_registry_is_waited_for_longer_than_a_quarter_of_an_hour(filled, connect, monkeypatch, told):
    waits = []
    monkeypatch.setattr(transport.Transport, "wait", lambda self, seconds: waits.append(seconds))
    filled.fail(tags, rate_limited(told))
    with pytest.raises(RateLimited) as error:
        list(connect(filled).tags("app"))
    assert waits == [900]
    assert 800 < (error.value.retry_at - datetime.now(UTC)).total_seconds() <= 900


def test_a_registry_that_has_refused_again_and_again_is_left_alone_for_a_while_whatever_it_says(filled, connect):
    filled.fail(tags, rate_limited("0"))
    with pytest.raises(RateLimited) as error:
        list(connect(filled).tags("app"))
    assert (error.value.retry_at - datetime.now(UTC)).total_seconds() > 10, "its jobs would begin again in a loop"


@pytest.mark.parametrize("ahead", [-7200, 7200], ids=["late", "early"])
def test_a_date_to_come_back_at_is_understood_by_the_clock_of_the_registry(filled, connect, monkeypatch, ahead):
    def answer(server, handler, request, response):
        handler.send_response_only(429)
        for name, value in (("Date", ahead), ("Retry-After", ahead + 30)):
            handler.send_header(name, retry_date(value))
        handler.send_header("Content-Length", "0")
        handler.end_headers()

    waits = []
    monkeypatch.setattr(transport.Transport, "wait", lambda self, seconds: waits.append(seconds))
    filled.fail(tags, lambda request, real: Scripted(429, write=answer), times=1)
    assert list(connect(filled).tags("app")) == ["1"]
    assert [round(seconds) for seconds in waits] == [30]


@pytest.mark.parametrize("told", ["-5", "soon", "", "²", "Thu, 99 Foo 2026"])
def test_a_time_nobody_understands_is_as_none(filled, connect, told):
    filled.fail(tags, Status(429, {"Retry-After": told.encode().decode("latin-1")}), times=1)
    assert list(connect(filled).tags("app")) == ["1"]


@pytest.mark.parametrize(
    "fault", [silence, SlowBody(0.05, head=True), SlowBody(0.05)], ids=["silent", "slow head", "slow body"]
)
def test_a_registry_that_trickles_is_given_up(filled, connect, impatient, fault):
    filled.fail(tags, fault)
    began = time.monotonic()
    with pytest.raises(TimedOut) as error:
        list(connect(filled).tags("app"))
    assert error.value.retry
    assert time.monotonic() - began < 10


@pytest.mark.parametrize("fault", [silence, SlowBody(0.05, head=True), SlowBody(0.05), rate_limited("100")])
def test_a_cancelled_job_stops_while_it_waits(filled, connect, fault):
    client_may_go_on = threading.Event()
    client_may_go_on.set()

    def check():
        if not client_may_go_on.is_set():
            raise Cancelled

    filled.fail(tags, fault)
    threading.Timer(0.5, client_may_go_on.clear).start()
    began = time.monotonic()
    with pytest.raises(Cancelled):
        list(connect(filled, check=check).tags("app"))
    assert time.monotonic() - began < 10  # and not 30 or 100


def test_a_registry_that_is_gone_is_not_asked_for_every_image(filled, connect):
    client = connect(filled)
    client.ping()
    filled.stop()
    asked = []
    original = transport.Transport._exchange
    client._transport._exchange = lambda *given: asked.append(1) or original(client._transport, *given)
    for _ in range(4):
        with pytest.raises(Unreachable):
            list(client.tags("app"))
    assert len(asked) == 5


def test_nothing_answers_at_a_closed_port(connect):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
    with pytest.raises(ConnectionRefused, match=str(port)) as error:
        connect(f"http://127.0.0.1:{port}").ping()
    assert error.value.remedy


def test_a_host_nobody_knows_is_not_known(connect, monkeypatch):
    def resolve(*given, **named):
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(connections.socket, "getaddrinfo", resolve)
    with pytest.raises(NameNotResolved, match=r"registry\.invalid"):
        connect("http://registry.invalid").ping()


def test_something_that_is_no_web_server_is_no_registry(connect):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]

        def answer():
            for _ in range(5):
                connection, _ = listener.accept()
                with connection:
                    connection.sendall(b"SSH-2.0-OpenSSH_9.2\r\n")
                    connection.recv(1000)

        threading.Thread(target=answer, daemon=True).start()
        with pytest.raises(Unreachable):
            connect(f"http://127.0.0.1:{port}").ping()


@pytest.mark.parametrize("ask", ["ping", "repositories", "tags", "manifest"])
def test_a_sign_in_page_is_no_registry(filled, connect, ask):
    client = connect(filled)
    if ask != "ping":
        client.ping()
    filled.fail(anything, HTML)
    calls = {"ping": client.ping, "repositories": lambda: list(client.repositories())}
    calls |= {"tags": lambda: list(client.tags("app")), "manifest": lambda: client.manifest("app", "1")}
    with pytest.raises(NotARegistry) as error:
        calls[ask]()
    assert error.value.remedy


def test_a_web_server_without_a_registry_is_no_registry(filled, connect):
    filled.fail(root, Status(404, {"Content-Type": "text/html"}, body=b"<h1>Not Found</h1>"))
    with pytest.raises(NotARegistry, match="404"):
        connect(filled).ping()


def test_a_page_not_found_by_a_proxy_does_not_empty_a_repository(filled, connect):
    client = connect(filled)
    client.ping()
    filled.fail(tags, Status(404, {"Content-Type": "text/html"}, body=b"<h1>Not Found</h1>"))
    with pytest.raises((NotARegistry, NotFound)):
        list(client.tags("app"))


def test_a_proxys_own_words_for_not_found_do_not_empty_a_repository(filled, connect):
    filled.fail(tags, Status(404, code="UPSTREAM_GONE"))
    with pytest.raises(NotFound):
        list(connect(filled).tags("app"))


def test_an_error_that_trickles_is_taken_by_its_status(filled, connect, monkeypatch):
    monkeypatch.setattr(transport, "ERROR_BODY_SECONDS", 0.2)
    filled.fail(tags, lambda request, real: SlowBody(0.05)(request, lambda: Status(500)(request, real)))
    with pytest.raises(ServerError):
        list(connect(filled).tags("app"))


def test_tls_on_the_port_is_recognised_by_what_the_server_says(filled, connect):
    filled.fail(root, Status(400, body=b"Client sent an HTTP request to an HTTPS server.\n"))
    with pytest.raises(Exception, match="uses TLS") as error:
        connect(filled).ping()
    assert "https" in error.value.remedy


def test_a_short_list_is_read_again(filled, connect):
    filled.fail(tags, Truncate(), times=1)
    assert list(connect(filled).tags("app")) == ["1"]


@pytest.mark.parametrize("chunked", [False, True])
def test_a_hundred_megabytes_of_names_are_refused_early(filled, connect, chunked):
    endless = EndlessBody(b'"' + b"a" * 65534 + b'",')
    fault = endless if chunked else Body(b'{"repositories":["' + b"a" * 20_000_000 + b'"]}')
    filled.fail(catalog, fault)
    client = connect(filled)
    client.ping()
    with pytest.raises(TooLarge):
        list(client.repositories())
    assert len(filled.requests(catalog)) == 1
    assert sum(endless.sent) < 40_000_000


def test_a_bomb_of_two_gigabytes_is_cut_while_it_unpacks(filled, connect):
    filled.fail(catalog, DecompressionBomb(2 << 30))
    client = connect(filled)
    client.ping()
    tracemalloc.start()
    try:
        with pytest.raises(TooLarge):
            list(client.repositories())
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 64 << 20


def test_no_cookie_is_ever_brought_back(serve, connect):
    registry = serve(poison_cookies=True, method="bearer", users={"ann": "x"})
    images.image({"a": b"1"}).put(registry, "app", "1")
    client = connect(registry, username="ann", password="x")
    client.ping()
    assert list(client.repositories()) == ["app"]
    assert list(client.tags("app")) == ["1"]
    assert not [each for each in registry.seen if "cookie" in each.headers]


@pytest.mark.parametrize(
    "answer", [{"errors": "x"}, {"errors": [{}]}, {"errors": []}, [], 5, {"errors": [{"code": ["x"]}]}]
)
def test_errors_of_any_form_are_taken(filled, connect, answer):
    filled.fail(manifests, Status(404, body=images.to_json(answer)))
    with pytest.raises(NotFound):
        connect(filled).manifest("app", "1")


def test_the_body_of_an_error_is_not_shown(filled, connect):
    filled.fail(manifests, Status(422, code="<script>alert(1)</script>", body=None))
    with pytest.raises(MalformedResponse) as error:
        connect(filled).manifest("app", "1")
    assert "<" not in str(error.value)


def test_a_body_that_cannot_be_unpacked_is_an_error(filled, connect):
    filled.fail(tags, Body(b"not gzip", {"Content-Encoding": "gzip"}))
    with pytest.raises(MalformedResponse):
        list(connect(filled).tags("app"))


@pytest.mark.parametrize("value", [None, {"tags": None}, {"name": "app"}, {"tags": []}])
def test_no_list_is_an_empty_list(filled, connect, value):
    filled.fail(tags, json_body(value))
    assert list(connect(filled).tags("app")) == []


def test_a_call_that_may_take_long_may_be_silent_for_long(registry, connect, monkeypatch):
    monkeypatch.setattr(connections, "READ_TIMEOUT_SECONDS", 0.1)

    def late(request, real):
        time.sleep(0.6)
        return real()

    api = connect(registry).api("/api", scheme="none")
    registry.fail(anything, late)
    assert api.get("/x", head_seconds=5).status == 404


def test_a_machine_without_file_handles_is_not_taken_for_a_registry_that_is_away(filled, connect):
    import resource

    connect(filled).ping()  # what is loaded once is loaded
    client = connect(filled)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    held = []
    resource.setrlimit(resource.RLIMIT_NOFILE, (400, hard))
    try:
        with contextlib.suppress(OSError):
            while True:
                held.append(socket.socket())
        with pytest.raises(RegistryError, match="too many open files and connections") as caught:
            list(client.tags("app"))
    finally:
        for each in held:
            each.close()
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert caught.value.retry


ROOTS = [  # what a registry may say at its root to those whom it lets in: type, body
    ("text/html; charset=utf-8", b"true"),  # Quay 3.18
    ("text/html", b""),
    ("text/plain", b""),
    ("", b""),
    ("application/json", b"{}"),
    ("application/json", b"null"),
    ("text/html", b"{}"),
    ("text/plain; charset=utf-8", b"\xef\xbb\xbf{}"),
    ("application/octet-stream", b" \r\n{}\n"),
]
PAGES = [
    ("text/html", b"<!doctype html><title>Sign in</title>"),
    ("text/plain", b"<html><body>It works!</body></html>"),
    ("application/json", b" \n<!DOCTYPE html>"),
    ("application/xhtml+xml", b'\xef\xbb\xbf<?xml version="1.0"?><html/>'),
    ("text/html", b"Welcome"),
]


@pytest.mark.parametrize(("kind", "body"), ROOTS)
def test_no_type_of_a_right_answer_at_the_root_is_taken_for_a_page(filled, connect, kind, body):
    filled.fail(root, Status(200, {"Content-Type": kind}, body=body))
    client = connect(filled)
    client.ping()
    assert list(client.tags("app"))


@pytest.mark.parametrize(("kind", "body"), PAGES)
def test_a_page_is_known_by_its_looks_whatever_type_it_has(filled, connect, kind, body):
    filled.fail(root, Status(200, {"Content-Type": kind}, body=body))
    with pytest.raises(NotARegistry):
        connect(filled).ping()


def test_a_registry_that_says_by_header_what_it_speaks_may_say_anything_else(filled, connect):
    headers = {"Content-Type": "text/plain", "Docker-Distribution-Api-Version": "registry/2.0"}
    filled.fail(root, Status(200, headers, body=b"OK"))
    connect(filled).ping()


def test_lists_and_manifests_with_the_type_of_a_page_are_read(filled, connect):
    filled.fail(tags, Headers({"Content-Type": "text/html"}))
    filled.fail(manifests, Headers({"Content-Type": "text/html; charset=utf-8"}))
    client = connect(filled)
    (tag,) = client.tags("app")
    assert parse_manifest(client.manifest("app", tag)).layers


def test_a_missing_manifest_with_the_type_of_a_page_is_a_missing_manifest(filled, connect):
    body = b'{"errors":[{"code":"MANIFEST_UNKNOWN"}]}'
    filled.fail(manifests, Status(404, {"Content-Type": "text/html"}, body=body))
    with pytest.raises(NotFound):
        connect(filled).manifest("app", "gone")


def test_a_page_as_long_as_a_book_is_still_a_page(filled, connect):
    filled.fail(manifests, Status(404, {"Content-Type": "text/html"}, body=b"<html>" + b"x" * 300_000))
    with pytest.raises(NotARegistry):
        connect(filled).manifest("app", "1")
