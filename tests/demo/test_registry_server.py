"""The demo's own distribution server, asked by plain HTTP as any client might."""

from __future__ import annotations

import base64
import http.client
import json
import socket
import threading
from urllib.parse import urlsplit

import pytest

from demo.registry_server import RegistryServer
from tests.fakes import images

MADE = images.image({"a": b"1" * 1000})
LAYER = MADE.layers[0]


@pytest.fixture
def server():
    with RegistryServer() as made:
        MADE.put(made, "team/app", "1.0")
        yield made


def ask(server, path, *, method="GET", **headers):
    connection = http.client.HTTPConnection(server.host, timeout=5)
    try:
        connection.request(method, path, headers={name.replace("_", "-"): value for name, value in headers.items()})
        response = connection.getresponse()
        return response.status, response.headers, response.read()
    finally:
        connection.close()


def test_a_manifest_comes_with_type_digest_and_tag(server):
    for reference in ("1.0", MADE.digest):
        status, headers, body = ask(server, f"/v2/team/app/manifests/{reference}", Accept=images.OCI_MANIFEST)
        assert (status, body, headers["Content-Type"]) == (200, MADE.manifest, images.OCI_MANIFEST)
        assert headers["Docker-Content-Digest"] == MADE.digest
        assert headers["ETag"] == f'"{MADE.digest}"'


def test_head_gives_the_same_without_a_body(server):
    status, headers, body = ask(server, "/v2/team/app/manifests/1.0", method="HEAD")
    assert (status, body, headers["Content-Length"]) == (200, b"", str(len(MADE.manifest)))


def test_what_the_client_does_not_accept_is_unknown_to_it(server):
    status, _, body = ask(server, "/v2/team/app/manifests/1.0", Accept=images.DOCKER_MANIFEST)
    assert (status, json.loads(body)["errors"][0]["code"]) == (404, "MANIFEST_UNKNOWN")


def test_what_the_client_holds_is_not_sent_again(server):
    assert ask(server, "/v2/team/app/manifests/1.0", If_None_Match=f'"{MADE.digest}"')[0] == 304


@pytest.mark.parametrize(
    ("wanted", "status", "first", "last"),
    [
        ("bytes=0-", 206, 0, None),
        ("bytes=5-9", 206, 5, 9),
        ("bytes=5-99999", 206, 5, None),
        (f"bytes={len(LAYER.content)}-", 416, 0, -1),
        ("bytes=-5", 200, 0, None),
        ("lines=1-2", 200, 0, None),
    ],
)
def test_parts_of_a_blob(server, wanted, status, first, last):
    end = len(LAYER.content) - 1 if last is None else last
    got, headers, body = ask(server, f"/v2/team/app/blobs/{LAYER.digest}", Range=wanted)
    assert (got, body) == (status, LAYER.content[first : end + 1])
    if status == 206:
        assert headers["Content-Range"] == f"bytes {first}-{end}/{len(LAYER.content)}"


def test_a_blob_is_known_only_where_an_image_names_it(server):
    images.image({"b": b"2"}).put(server, "other", "1")
    assert ask(server, f"/v2/other/blobs/{LAYER.digest}")[0] == 404
    assert ask(server, f"/v2/team/app/blobs/{LAYER.digest}")[0] == 200


def test_lists_come_in_pages(server):
    for tag in ("a", "b", "c"):
        MADE.put(server, "team/app", tag)
    status, headers, body = ask(server, "/v2/team/app/tags/list?n=2")
    assert (status, json.loads(body)) == (200, {"name": "team/app", "tags": ["1.0", "a"]})
    assert headers["Link"] == '</v2/team/app/tags/list?last=a&n=2>; rel="next"'
    _, headers, body = ask(server, "/v2/team/app/tags/list?n=2&last=a")
    assert json.loads(body)["tags"] == ["b", "c"]
    assert "Link" not in headers
    assert json.loads(ask(server, "/v2/team/app/tags/list?n=0")[2])["tags"] == []


@pytest.mark.parametrize("count", ["1001", "-1", "x", "9" * 50])
def test_a_page_of_an_impossible_size_is_refused(server, count):
    status, _, body = ask(server, f"/v2/_catalog?n={count}")
    assert (status, json.loads(body)["errors"][0]["code"]) == (400, "PAGINATION_NUMBER_INVALID")


@pytest.mark.parametrize("path", ["/", "/v2", "/v2/x", "/v2/../etc/passwd", "/v2/no/such/tags/list", "//", "/v2/%00"])
def test_what_is_not_there_is_not_found(server, path):
    assert ask(server, path)[0] == 404


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "BREW"])
def test_it_is_for_reading_only(server, method):
    assert ask(server, "/v2/team/app/blobs/uploads/", method=method)[0] in {405, 501}


def test_it_goes_on_after_clients_that_talk_nonsense(server):
    for noise in (
        b"\0" * 100,
        b"GET\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET /v2/?" + b"a=1&" * 100 + b" HTTP/1.1\r\n\r\n",
    ):
        with socket.create_connection((urlsplit(server.url).hostname, urlsplit(server.url).port)) as raw:
            raw.sendall(noise)
    assert ask(server, "/v2/")[0] == 200


def test_it_takes_no_more_connections_than_it_may():
    with RegistryServer(max_connections=2) as server:
        address = urlsplit(server.url).hostname, urlsplit(server.url).port
        held = [socket.create_connection(address) for _ in range(2)]
        for each in held:
            each.sendall(b"GET /v2/ HTTP/1.1\r\nHost: x\r\n\r\n")
            assert each.recv(12) == b"HTTP/1.1 200"
        with socket.create_connection(address) as third:
            assert third.recv(1) == b""
        for each in held:
            each.close()


def test_it_stops_although_clients_hold_on():
    server = RegistryServer()
    server.start()
    address = urlsplit(server.url).hostname, urlsplit(server.url).port
    threads = threading.active_count()
    with socket.create_connection(address) as silent, socket.create_connection(address) as talking:
        talking.sendall(b"GET /v2/ HTTP/1.1\r\nHost: x\r\n\r\n")
        talking.recv(1000)
        server.stop()
        server.stop()
        assert silent.recv(1) == b""
    assert threading.active_count() < threads
    with pytest.raises(OSError):
        socket.create_connection(address, timeout=1)


def test_blobs_may_lie_on_disk(tmp_path):
    big = tmp_path / "big"
    big.write_bytes(bytes(range(256)) * 4000)
    with RegistryServer(folder=tmp_path / "store") as server:
        digest = server.put_blob(big)
        assert server.put_blob(big.read_bytes()) == digest
        manifest = images.to_json({"config": {"digest": digest}})
        server.put_manifest("app", "1", manifest, images.OCI_MANIFEST)
        big.unlink()
        assert len(ask(server, f"/v2/app/blobs/{digest}")[2]) == 256 * 4000
    assert [path.name for path in (tmp_path / "store" / "blobs" / "sha256").iterdir()] == [digest.partition(":")[2]]


def basic(login):
    return "Basic " + base64.b64encode(login.encode()).decode()


def test_basic_sign_in():
    with RegistryServer(method="basic", users={"ann": "x:y"}) as server:
        assert ask(server, "/v2/")[1]["WWW-Authenticate"] == 'Basic realm="Registry"'
        for wrong in (basic("ann:wrong"), basic("bob:x:y"), basic(":"), "Basic !", "Basic", "Bearer x"):
            assert ask(server, "/v2/", Authorization=wrong)[0] == 401
        assert ask(server, "/v2/", Authorization=basic("ann:x:y"))[0] == 200


def test_bearer_tokens_open_what_they_are_for_and_end():
    with RegistryServer(method="bearer", users={"ann": "x"}) as server:
        MADE.put(server, "team/app", "1.0")
        challenge = ask(server, "/v2/team/app/tags/list")[1]["WWW-Authenticate"]
        assert challenge == f'Bearer realm="{server.url}/token",service="registry",scope="repository:team/app:pull"'
        assert ask(server, "/token?scope=repository:team/app:pull")[0] == 401
        body = ask(server, "/token?scope=repository:team/app:pull", Authorization=basic("ann:x"))[2]
        token = json.loads(body)["token"]
        assert ask(server, "/v2/team/app/tags/list", Authorization=f"Bearer {token}")[0] == 200
        refused = ask(server, "/v2/other/tags/list", Authorization=f"Bearer {token}")
        assert 'error="insufficient_scope"' in refused[1]["WWW-Authenticate"]
        for wrong in (token[:-2], token + "x", "x" + token, "a.b", "", "."):
            assert ask(server, "/v2/team/app/tags/list", Authorization=f"Bearer {wrong}")[0] == 401
        server.sign_in.token_seconds = -1
        token = server.sign_in.issue("ann", ["repository:team/app:pull"])
        refused = ask(server, "/v2/team/app/tags/list", Authorization=f"Bearer {token}")
        assert 'error="invalid_token"' in refused[1]["WWW-Authenticate"]
