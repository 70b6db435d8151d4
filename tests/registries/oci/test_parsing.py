"""Bytes of strangers: read as what they say, or refused with an error for people, and nothing else."""

from __future__ import annotations

import base64
import json
import os
from datetime import UTC, datetime

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from registries.oci import (
    Digest,
    ImageManifest,
    Index,
    MalformedResponse,
    Platform,
    RawManifest,
    Reference,
    RegistryError,
    choose_platform,
    classify,
    index_images,
    parse_config,
    parse_manifest,
)
from registries.oci.auth import _parse_token
from registries.oci.headers import next_query, parse_challenges
from registries.oci.manifests import schema1_payload, sniff_media_type
from tests.fakes import images

DIGEST = "sha256:" + "a" * 64
IMAGE = images.image({"a": b"1"}, {"b": b"2"}, labels={"x": "y"})
SCHEMA1, _ = images.schema1(images.layer({"a": b"1"}), images.layer({"b": b"2"}))
CORPUS = [
    (IMAGE.manifest, images.OCI_MANIFEST),
    (images.image({"a": b"1"}, docker=True).manifest, images.DOCKER_MANIFEST),
    (images.index(IMAGE, attest=True).content, images.OCI_INDEX),
    (SCHEMA1, images.SCHEMA1_SIGNED),
    (images.helm_chart().manifest, "text/plain"),
]
MEDIA_TYPES = [images.OCI_MANIFEST, images.OCI_INDEX, images.SCHEMA1_SIGNED, images.DOCKER_MANIFEST, "", "x/y"]


def parse(content, media_type=images.OCI_MANIFEST):
    content = content if isinstance(content, bytes) else images.to_json(content)
    return parse_manifest(RawManifest(Digest.of(content), media_type, content))


def descriptor(**changes):
    return {"mediaType": images.OCI_LAYER, "digest": DIGEST, "size": 5, **changes}


def manifest(**changes):
    held = {"schemaVersion": 2, "config": descriptor(mediaType=images.OCI_CONFIG), "layers": [descriptor()]}
    return {key: value for key, value in {**held, **changes}.items() if value is not ...}


@pytest.mark.parametrize(
    "content",
    [
        manifest(manifests=[descriptor()]),
        manifest(layers=..., manifests=[]),
        manifest(config=...),
        manifest(config=[]),
        manifest(layers="x"),
        manifest(layers=[None]),
        manifest(layers=[descriptor(size=-1)]),
        manifest(layers=[descriptor(size=True)]),
        manifest(layers=[descriptor(size="5")]),
        manifest(layers=[descriptor(size=5.0)]),
        manifest(layers=[descriptor(size=10**30)]),
        manifest(layers=[descriptor(digest="md5:" + "a" * 32)]),
        manifest(layers=[descriptor(digest="sha256:" + "A" * 64)]),
        manifest(layers=[descriptor(digest="sha256:../../../etc/passwd")]),
        manifest(layers=[descriptor(digest=["sha256"])]),
        manifest(layers=[descriptor()] * 10_001),
        manifest(subject="x"),
        manifest(mediaType=images.OCI_INDEX),
        [],
        "text",
        None,
        b"",
        b"\xff\xfe",
        b'{"config": NaN}',
        images.to_json(manifest()).replace(b'"schemaVersion": 2', b'"layers": [], "schemaVersion": 2'),
        b'{"config": ' + b"[" * 10_000 + b"]" * 10_000 + b"}",
        b'{"config": ' + b'{"a":' * 10_000 + b"1" + b"}" * 10_000 + b"}",
        b"[" * 100_000,
        b'{"size": ' + b"9" * 10_000 + b"}",
        b'{"schemaVersion": 2',
        json.dumps(manifest()).encode("utf-16"),
    ],
    ids=lambda content: repr(content)[:60],
)
def test_what_contradicts_itself_or_goes_too_far_is_refused(content):
    with pytest.raises(MalformedResponse) as error:
        parse(content)
    assert error.value.reason
    assert error.value.remedy


def test_ten_thousand_layers_are_still_taken():
    assert len(parse(manifest(layers=[descriptor()] * 10_000)).layers) == 10_000


def test_missing_parts_and_odd_extras_are_taken():
    found = parse(
        manifest(
            layers=None,
            annotations={"a": "b", "c": 5, "d": None},
            unknown={"x": []},
            config=descriptor(mediaType=images.OCI_CONFIG, urls=["https://x", 5], data="!", platform="x"),
        )
    )
    assert isinstance(found, ImageManifest)
    assert found.layers == ()
    assert found.annotations == {"a": "b"}
    assert found.config.data is None
    assert found.config.urls == ("https://x", "")


@pytest.mark.parametrize("declared", ["", "text/plain", "application/json"])
@pytest.mark.parametrize(
    ("content", "media_type", "kind"),
    [
        (manifest(), images.OCI_MANIFEST, ImageManifest),
        (manifest(mediaType=images.DOCKER_MANIFEST), images.DOCKER_MANIFEST, ImageManifest),
        ({"manifests": []}, images.OCI_INDEX, Index),
        (json.loads(SCHEMA1), images.SCHEMA1_SIGNED, ImageManifest),
    ],
)
def test_the_body_tells_what_a_proxy_has_forgotten(declared, content, media_type, kind):
    encoded = images.to_json(content)
    assert sniff_media_type(declared, encoded) == media_type
    assert isinstance(parse(encoded, declared), kind)


def test_a_layer_of_the_oldest_form_that_was_thrown_away_is_left_out():
    kept, gone = images.layer({"a": b"1"}), images.layer({"b": b"2"})
    body = json.loads(images.schema1(kept, gone)[0])
    newest = json.loads(body["history"][0]["v1Compatibility"])
    body["history"][0]["v1Compatibility"] = json.dumps({**newest, "throwaway": True, "config": {"Labels": {"k": "v"}}})
    found = parse(body, images.SCHEMA1_SIGNED)
    assert [str(layer.digest) for layer in found.layers] == [kept.digest]
    assert [step.empty_layer for step in found.schema1.history] == [False, True]
    assert found.schema1.labels == {"k": "v"}
    assert not found.layers[0].size_known
    assert classify(found).kind == "image"


def test_the_signed_part_of_the_oldest_form_is_found():
    content, digest = images.schema1(images.layer({"a": b"1"}))
    assert str(Digest.of(schema1_payload(content))) == digest


def test_a_config_is_read():
    config = parse_config(IMAGE.config)
    assert (config.os, config.architecture) == ("linux", "amd64")
    assert config.created == datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)
    assert config.diff_ids == tuple(layer.diff_id for layer in IMAGE.layers)
    assert config.labels == {"x": "y"}
    assert [step.created_by for step in config.history] == ["COPY step0 / # buildkit", "COPY step1 / # buildkit"]


@pytest.mark.parametrize(
    ("value", "read"),
    [
        ("0001-01-01T00:00:00Z", None),
        ("1970-01-01T00:00:00Z", datetime(1970, 1, 1, tzinfo=UTC)),
        ("2026-01-02T03:04:05+02:00", datetime(2026, 1, 2, 1, 4, 5, tzinfo=UTC)),
        ("9999-12-31T23:59:59-14:00", None),
        ("yesterday", None),
        (5, None),
        (None, None),
        ("2026-13-45T99:99:99Z", None),
    ],
)
def test_times_are_read_or_left_out(value, read):
    assert parse_config(images.to_json({"created": value})).created == read


@pytest.mark.parametrize(
    "content",
    [
        {"rootfs": {"diff_ids": ["x"]}},
        {"rootfs": {"diff_ids": "x"}},
        {"history": [{}] * 10_001},
        {"history": 5},
        [],
        b"\0",
    ],
    ids=repr,
)
def test_a_config_that_nobody_can_use_is_refused(content):
    with pytest.raises(MalformedResponse):
        parse_config(content if isinstance(content, bytes) else images.to_json(content))


def test_texts_are_such_as_every_database_can_hold():
    content = (
        b'{"author": "a\\u0000b\\ud800c", "os": "' + b"x" * 5000 + b'", "config": {"Labels": {"k\\u0000": "\\udfff"}}}'
    )
    config = parse_config(content)
    assert config.author == "a\ufffdb?c"
    assert len(config.os) == 40
    assert "\0" not in str(config.labels)
    str(config).encode()


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("app", ("", "app", "", None)),
        ("team/app:1.0", ("", "team/app", "1.0", None)),
        ("host.example/team/app:1.0", ("host.example", "team/app", "1.0", None)),
        ("host:5000/app", ("host:5000", "app", "", None)),
        ("localhost/app", ("localhost", "app", "", None)),
        ("[::1]:5000/app:1", ("[::1]:5000", "app", "1", None)),
        (f"app@{DIGEST}", ("", "app", "", Digest.parse(DIGEST))),
        (f"app:1@{DIGEST}", ("", "app", "1", Digest.parse(DIGEST))),
    ],
)
def test_references_are_read_and_written(text, parts):
    found = Reference.parse(text)
    assert (found.host, found.repository, found.tag, found.digest) == parts
    assert str(found) == text


@pytest.mark.parametrize(
    "text", ["", "app:", "app:a b", "../x", "a//b", "/a", "app@sha256:x", "app@", "a\nb", "app:" + "x" * 129]
)
def test_what_is_no_reference_is_refused(text):
    with pytest.raises(RegistryError):
        Reference.parse(text)


# --- headers ------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("header", "read"),
    [
        ("", []),
        ('Basic realm="a, b=c"', [("basic", {"realm": "a, b=c"})]),
        (
            'BEARER Realm="r" , service=s,scope="a:b:pull,push"',
            [("bearer", {"realm": "r", "service": "s", "scope": "a:b:pull,push"})],
        ),
        ('Basic realm="x", Bearer realm="y"', [("basic", {"realm": "x"}), ("bearer", {"realm": "y"})]),
        ('Negotiate, Basic realm="x"', [("negotiate", {}), ("basic", {"realm": "x"})]),
        ('Negotiate abc==, Basic realm="x"', None),
        (r'Basic realm="a\"b\\c"', [("basic", {"realm": 'a"b\\c'})]),
        ('Bearer realm="unclosed', None),
        (",,, Bearer", [("bearer", {})]),
    ],
)
def test_challenges_are_read(header, read):
    found = [(each.scheme, dict(each.parameters)) for each in parse_challenges(header)]
    if read is not None:
        assert found == read


def test_a_token_of_another_scheme_does_not_hide_the_next_challenge():
    assert parse_challenges('Negotiate abc==, Basic realm="x"')[-1].get("realm") == "x"


@pytest.mark.parametrize(
    ("header", "query"),
    [
        ("", None),
        ("</a?b=1>", None),
        ('</a?b=1>; rel="prev"', None),
        ('</a?b=1,2&c=d=e>; rel="next"', "b=1,2&c=d=e"),
        ('</a>; rel="next"', ""),
        ('<a?x>; rel="prev", <b?y>; foo; rel="next"', "y"),
        ("<<<>>>; rel=next", ""),
    ],
)
def test_links_are_read(header, query):
    assert next_query(header) == query


# --- fuzz ---------------------------------------------------------------------------------------------------------
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20) | st.just(DIGEST),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=15,
)
keys = st.sampled_from(
    [
        *["schemaVersion", "mediaType", "config", "layers", "manifests", "subject", "artifactType", "annotations"],
        *["fsLayers", "history", "signatures", "architecture", "rootfs", "created", "os", "digest", "size", "platform"],
    ]
)
# TALLYMAN_FUZZ=20000 for a night of it.
fuzz = settings(
    max_examples=int(os.environ.get("TALLYMAN_FUZZ", "400")), deadline=None, suppress_health_check=list(HealthCheck)
)


def use(content, media_type):
    """Do with it all that a sync does; only errors for people may come out."""
    schema1_payload(content)
    sniff_media_type(media_type, content)
    try:
        found = parse(content, media_type)
    except RegistryError:
        return
    verdict = classify(found, tag="1")
    assert verdict.kind in {"image", "index", "other"}
    str(found).encode()
    if isinstance(found, Index):
        assert set(index_images(found)) <= set(found.manifests)
        choose_platform(found)
        choose_platform(found, Platform("linux", "arm", "v6"))


@fuzz
@given(st.dictionaries(keys, json_values, max_size=8), st.sampled_from(MEDIA_TYPES))
def test_no_manifest_made_of_odd_values_gets_through_unhandled(body, media_type):
    use(json.dumps(body).encode(), media_type)


@fuzz
@given(st.sampled_from(CORPUS), st.data())
def test_no_manifest_with_something_changed_gets_through_unhandled(seed, data):
    content, media_type = seed
    body = json.loads(content)
    for _ in range(data.draw(st.integers(1, 3))):
        holder = body
        while isinstance(holder, (dict, list)) and holder:
            key = data.draw(st.sampled_from(sorted(holder) if isinstance(holder, dict) else range(len(holder))))
            if not isinstance(holder[key], (dict, list)) or data.draw(st.booleans()):
                holder[key] = data.draw(json_values)
                break
            holder = holder[key]
    use(json.dumps(body).encode(), media_type)


@fuzz
@given(st.sampled_from(CORPUS), st.integers(0, 5000), st.binary(max_size=8), st.sampled_from(MEDIA_TYPES))
def test_no_manifest_with_other_bytes_gets_through_unhandled(seed, position, noise, media_type):
    content = seed[0]
    at = position % len(content)
    use(content[:at] + noise + content[at + len(noise) :], media_type)


@fuzz
@given(st.dictionaries(keys | st.just("author"), json_values, max_size=8) | json_values)
def test_no_config_gets_through_unhandled(body):
    try:
        config = parse_config(json.dumps(body).encode())
    except RegistryError:
        return
    str(config).encode()


@fuzz
@given(st.binary(max_size=60) | json_values.map(lambda value: json.dumps(value).encode()))
def test_no_answer_of_a_token_service_gets_through_unhandled(content):
    try:
        token = _parse_token(content)
    except RegistryError:
        return
    assert token.value.isprintable()


header_texts = st.text(st.sampled_from('abBearer realm=",;<>?&\\ \t/:1é\0\n'), max_size=200) | st.text(max_size=100)


@fuzz
@given(header_texts)
def test_no_header_gets_through_unhandled(text):
    for challenge in parse_challenges(text):
        assert challenge.scheme == challenge.scheme.lower()
        challenge.get("realm")
    query = next_query(text)
    assert query is None or isinstance(query, str)


@pytest.mark.parametrize("text", [",", "a", "a=", '"', "\\", " ", '<a>;rel="', "<", '="', 'a="\\'])
def test_no_header_takes_long(text):
    parse_challenges(text * 100_000)
    next_query(text * 100_000)
    parse_challenges('a="' + text * 100_000)
    next_query("<" + text * 100_000)


@fuzz
@given(st.text(max_size=80))
def test_no_reference_gets_through_unhandled(text):
    try:
        found = Reference.parse(text)
    except RegistryError:
        return
    assert ".." not in found.repository.split("/")
    assert base64.b64encode(str(found).encode())
