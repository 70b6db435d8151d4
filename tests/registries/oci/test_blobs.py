"""Blobs on bad days: cut off, changed, compressed on the way, in another size."""

from __future__ import annotations

import dataclasses
import time

import pytest

from registries.oci import (
    DigestMismatch,
    MalformedResponse,
    NotFound,
    TimedOut,
    TooLarge,
    Truncated,
    connections,
    parse_manifest,
)
from tests.fakes import images
from tests.fakes.registry import (
    NO_DIGEST,
    WRONG_DIGEST,
    Body,
    EndlessBody,
    FlippedBit,
    Headers,
    Redirect,
    SlowBody,
    Status,
    Truncate,
    blob,
    blobs,
    gzip_by_proxy,
    manifests,
    no_head,
    no_range,
    rate_limited,
    reset,
)
from tests.registries.oci.conftest import until_error

CONTENT = {"noise": b"".join(number.to_bytes(4, "big") for number in range(500_000))}


@pytest.fixture
def held(registry):
    """A layer of 2 MB, in the registry."""
    layer = images.layer(CONTENT, "none")
    images.image(layer).put(registry, "app", "1")
    return layer


@pytest.fixture
def client(registry, held, connect):
    return connect(registry)


@pytest.fixture
def layer(client):
    return parse_manifest(client.manifest("app", "1")).layers[0]


def read(client, layer):
    with client.blob("app", layer) as reader:
        return reader.read()


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.999])
def test_a_blob_that_is_cut_off_goes_on_where_it_ended(registry, held, client, layer, share):
    registry.fail(blobs, Truncate(share), times=1)
    assert read(client, layer) == held.content
    first, second = registry.requests(blobs)
    assert "range" not in first.headers
    assert second.headers.get("range") == (f"bytes={int(len(held.content) * share)}-" if share else None)


def test_a_blob_that_is_cut_off_three_times_still_comes(registry, held, client, layer):
    registry.fail(blobs, Truncate(0.3), times=3)
    assert read(client, layer) == held.content


def test_a_blob_that_is_always_cut_off_is_given_up(registry, client, layer):
    registry.fail(blobs, Truncate(0.3))
    with pytest.raises(Truncated) as error:
        read(client, layer)
    assert len(registry.requests(blobs)) == 4
    assert error.value.retry


def test_a_server_without_range_is_read_again_from_the_start(registry, held, client, layer):
    registry.fail(blobs, Truncate(0.6), times=1)
    registry.fail(blobs, no_range)
    assert read(client, layer) == held.content


def test_a_blob_that_changed_between_two_readings_is_refused(registry, client, layer):
    registry.fail(blobs, Truncate(0.6), times=1)
    registry.fail(blobs, lambda request, real: FlippedBit(0)(request, lambda: no_range(request, real)))
    with pytest.raises(DigestMismatch, match="changed"):
        read(client, layer)


def test_another_part_than_asked_for_is_refused(registry, client, layer):
    registry.fail(blobs, Truncate(0.6), times=1)
    registry.fail(blobs, Headers({"Content-Range": f"bytes 5-{layer.size - 1}/{layer.size}"}))
    with pytest.raises(MalformedResponse):
        read(client, layer)


def test_a_rest_that_is_not_given_is_not_made_up(registry, client, layer):
    registry.fail(blobs, Truncate(0.6), times=1)
    registry.fail(blobs, Status(416))
    with pytest.raises(Truncated):
        read(client, layer)


def test_after_a_break_the_registry_is_asked_and_not_the_old_address(registry, held, client, layer, canary):
    canary._answer = (500, b"the signature has expired")
    redirect = Redirect(canary.url + "/signed")
    registry.fail(blobs, lambda request, real: Truncate(0.5)(request, real), times=1)
    registry.fail(blobs, redirect, times=0)
    assert read(client, layer) == held.content
    assert not canary.seen


def test_one_wrong_bit_keeps_the_last_bytes_back(registry, client, layer):
    registry.fail(blobs, FlippedBit(10))
    with client.blob("app", layer) as reader:
        got, error = until_error(iter(lambda: reader.read1(65536), b""))
    assert isinstance(error, DigestMismatch)
    assert not error.retry  # it would be as wrong the next time
    assert len(b"".join(got)) < layer.size


def test_a_small_blob_with_a_wrong_bit_is_asked_for_once_more(registry, client, layer):
    config = parse_manifest(client.manifest("app", "1")).config
    registry.fail(blobs, FlippedBit(3), times=1)
    assert client.blob_bytes("app", config, limit=1 << 20)
    registry.fail(blobs, FlippedBit(3))
    before = len(registry.requests(blobs))
    with pytest.raises(DigestMismatch):
        client.blob_bytes("app", config, limit=1 << 20)
    assert len(registry.requests(blobs)) == before + 2


@pytest.mark.parametrize("change", [-1000, -1, 1, 1000])
def test_a_size_that_does_not_fit_is_noticed_before_the_first_byte(client, layer, change):
    with pytest.raises(DigestMismatch, match="bytes"):
        read(client, dataclasses.replace(layer, size=layer.size + change))


@pytest.mark.parametrize("change", [-1000, -1, 1, 1000])
def test_a_size_that_does_not_fit_is_noticed_without_a_content_length(registry, client, layer, change):
    def chunked(request, real):
        answer = real()
        return Body(b"".join(answer.chunks()), {"Content-Length": "", "Connection": "close"})(request, real)

    registry.fail(blobs, chunked)
    with pytest.raises((DigestMismatch, Truncated)):
        read(client, dataclasses.replace(layer, size=layer.size + change))


def test_what_a_proxy_has_compressed_is_unpacked(registry, held, client, layer):
    registry.fail(blobs, gzip_by_proxy)
    assert read(client, layer) == held.content


def test_what_a_store_labels_gzip_stays_as_it_is(registry, connect):
    packed = images.layer(CONTENT, "gzip")
    images.image(packed).put(registry, "app", "2")
    client = connect(registry)
    registry.fail(blobs, Headers({"Content-Encoding": "gzip"}))
    assert read(client, parse_manifest(client.manifest("app", "2")).layers[0]) == packed.content


def test_nothing_is_asked_for_compressed(registry, client, layer):
    read(client, layer)
    assert {each.headers["accept-encoding"] for each in registry.seen} == {"identity"}


@pytest.mark.parametrize("fault", [reset, Status(503), rate_limited("0")])
def test_a_blob_is_asked_for_again_where_that_may_help(registry, held, client, layer, fault):
    registry.fail(blobs, fault, times=3)
    assert read(client, layer) == held.content


def test_a_blob_that_trickles_is_given_up(registry, client, layer, monkeypatch):
    for name in ("READ_TIMEOUT_SECONDS", "THROUGHPUT_WINDOW_SECONDS"):
        monkeypatch.setattr(connections, name, 0.5)
    registry.fail(blobs, SlowBody(0.05))
    began = time.monotonic()
    with pytest.raises((TimedOut, Truncated)):
        read(client, layer)
    assert time.monotonic() - began < 10


def test_a_slow_reader_is_not_taken_for_a_slow_registry(held, client, layer, monkeypatch):
    monkeypatch.setattr(connections, "THROUGHPUT_WINDOW_SECONDS", 0.05)
    with client.blob("app", layer) as reader:
        got = bytearray()
        while data := reader.read(200_000):
            got += data
            time.sleep(0.02)
    assert bytes(got) == held.content


def test_a_cancelled_job_stops_between_two_chunks(registry, held, connect):
    class Cancelled(Exception):
        pass

    calls = []

    def check():
        calls.append(1)
        if stopped:
            raise Cancelled

    stopped = False
    client = connect(registry, check=check)
    layer = parse_manifest(client.manifest("app", "1")).layers[0]
    with client.blob("app", layer) as reader:
        reader.read(1000)
        stopped = True
        with pytest.raises(Cancelled):
            reader.read()


def test_a_missing_layer_says_what_may_have_happened(registry, client, layer):
    registry.fail(blob(str(layer.digest)), Status(404, code="BLOB_UNKNOWN"))
    with pytest.raises(NotFound, match="BLOB_UNKNOWN") as error:
        read(client, layer)
    assert error.value.what == "blob"


def test_a_config_that_is_too_large_is_not_even_asked_for(registry, client, layer):
    with pytest.raises(TooLarge):
        client.blob_bytes("app", layer, limit=1000)
    assert not registry.requests(blobs)


# --- manifests ----------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("fault", [no_head, NO_DIGEST, Status(404), Status(400)], ids=["405", "lost", "404", "400"])
def test_a_server_without_head_is_asked_by_get(registry, client, fault):
    registry.fail(lambda request: manifests(request) and request.method == "HEAD", fault)
    head = client.head_manifest("app", "1")
    assert head.digest == client.manifest("app", "1").digest


def test_a_manifest_that_does_not_fit_its_digest_is_refused(registry, client):
    digest = client.manifest("app", "1").digest
    registry.fail(manifests, FlippedBit(20), times=1)
    assert client.manifest("app", digest).digest == digest
    registry.fail(manifests, FlippedBit(20))
    for reference in (digest, "1"):
        with pytest.raises(DigestMismatch):
            client.manifest("app", reference)


def test_a_manifest_that_fits_no_header_is_refused(registry, client):
    registry.fail(manifests, WRONG_DIGEST)
    with pytest.raises(DigestMismatch):
        client.manifest("app", "1")


def test_the_digest_of_a_manifest_is_reckoned_where_no_header_tells(registry, client):
    digest = client.manifest("app", "1").digest
    registry.fail(manifests, NO_DIGEST)
    assert client.manifest("app", "1").digest == digest


def test_a_tag_that_moves_between_head_and_get_mixes_nothing(registry, client):
    head = client.head_manifest("app", "1")
    images.image({"new": b"2"}).put(registry, "app", "1")
    assert client.manifest("app", head.digest).digest == head.digest
    assert client.head_manifest("app", "1").digest != head.digest


@pytest.mark.parametrize("size", [4 << 20, (4 << 20) + 1, 5 << 20, 9 << 20])
def test_a_manifest_may_have_four_mebibytes_and_no_more(registry, client, size):
    made = images.image({"a": b"1"}, annotations={"padding": ""})
    padded = made.manifest.replace(b'"padding": ""', b'"padding": "' + b"x" * (size - len(made.manifest)) + b'"')
    assert len(padded) == size
    registry.put_manifest("app", "large", padded, images.OCI_MANIFEST)
    if size > 4 << 20:
        with pytest.raises(TooLarge) as error:
            client.manifest("app", "large")
        assert error.value.remedy
    else:
        parse_manifest(client.manifest("app", "large"))


@pytest.mark.parametrize(
    "declared", ["text/plain", "application/json; charset=utf-8", "application/octet-stream", None]
)
def test_the_body_decides_where_the_type_was_lost(registry, client, declared):
    registry.fail(manifests, Headers({"Content-Type": declared}))
    assert client.manifest("app", "1").media_type == images.OCI_MANIFEST


def test_parameters_of_the_type_are_cut(registry, client):
    registry.fail(manifests, Headers({"Content-Type": images.OCI_MANIFEST + "; charset=utf-8"}))
    assert client.head_manifest("app", "1").media_type == images.OCI_MANIFEST
    assert client.manifest("app", "1").media_type == images.OCI_MANIFEST


def test_no_tag_leads_out_of_its_repository(registry, client):
    for reference in ("..", "", "a\nb", "x" * 300):
        with pytest.raises(MalformedResponse):
            client.manifest("app", reference)
    for repository in ("..", "a/../b", "", "/a", "a\0", "a//b"):
        with pytest.raises(MalformedResponse):
            list(client.tags(repository))
    with pytest.raises(NotFound):
        client.manifest("app", "../../other/manifests/1")
    assert registry.seen[-1].path.startswith("/v2/app/manifests/")


# --- a part of a blob ---------------------------------------------------------------------------------------------
def part(client, layer, start=1000, length=64):
    return client.blob_part("app", layer, start=start, length=length)


def test_a_part_of_a_blob_is_all_that_is_asked_for(registry, held, client, layer):
    assert part(client, layer) == held.content[1000:1064]
    (request,) = registry.requests(blobs)
    assert request.headers["range"] == "bytes=1000-1063"


def test_where_ranges_are_ignored_there_is_no_part_and_the_rest_is_not_read(registry, held, client, layer):
    registry.fail(blobs, no_range)
    assert part(client, layer) is None
    registry.heal()
    assert part(client, layer) == held.content[1000:1064]  # by another connection


@pytest.mark.parametrize(
    "fault",
    [
        Headers({"Content-Range": None}),
        Headers({"Content-Range": "bytes 999-1062/2000000"}),
        Headers({"Content-Range": "nonsense"}),
        gzip_by_proxy,
        Body(b"x" * 64),
        Status(416, body=b""),
    ],
)
def test_an_answer_that_is_not_that_part_is_none(registry, client, layer, fault):
    registry.fail(blobs, fault)
    assert part(client, layer) is None


def test_a_part_that_does_not_end_is_not_read_to_its_end(registry, client, layer):
    endless = EndlessBody()

    def fault(request, real):
        answer = endless(request, real)
        answer.status, answer.headers = 206, {"Content-Range": "bytes 1000-1063/2000000"}
        return answer

    registry.fail(blobs, fault)
    assert part(client, layer) is None
    assert sum(endless.sent) < 1 << 22


def test_a_part_of_what_is_not_there_says_so(registry, client, layer):
    registry.fail(blobs, Status(404, code="BLOB_UNKNOWN"))
    with pytest.raises(NotFound):
        part(client, layer)


def test_a_part_is_had_from_where_the_registry_redirects_to_without_its_password(serve, connect, held):
    with_login = serve(method="basic", users={"reader": "secret"})
    made = images.image(held)
    made.put(with_login, "app", "1")
    storage = serve()
    made.put(storage, "app", "1")
    client = connect(with_login, username="reader", password="secret")
    layer = parse_manifest(client.manifest("app", "1")).layers[0]
    with_login.fail(blobs, Redirect(storage.url + "{path}"))
    assert part(client, layer) == held.content[1000:1064]
    (request,) = storage.requests(blobs)
    assert request.headers["range"] == "bytes=1000-1063"
    assert "authorization" not in request.headers
