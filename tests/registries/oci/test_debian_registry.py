"""Against a registry that others wrote: Debian's docker-registry, with TLS of its own authority and a password file."""

from __future__ import annotations

import dataclasses
import shutil

import pytest

from registries.oci import (
    CertificateError,
    CredentialsRefused,
    DistributionClient,
    Endpoint,
    ImageManifest,
    Index,
    NotFound,
    choose_platform,
    classify,
    parse_config,
    parse_manifest,
)
from tests.fakes import images
from tests.fakes.certificates import Authority
from tests.fakes.docker_registry import PASSWORD, USER, docker_registry


@pytest.fixture(scope="module")
def authority():
    return Authority()


@pytest.fixture(scope="module")
def server(authority):
    with docker_registry(authority.issue("127.0.0.1")) as running:
        yield running


AMD64 = images.image({"etc/os-release": b"ID=debian\n"}, {"app": b"amd64" * 1000})
ARM64 = images.image({"app": b"arm64"}, architecture="arm64", variant="v8")
BOTH = images.index(ARM64, AMD64, attest=True)
DOCKER = images.image({"app": b"docker"}, docker=True)


@pytest.fixture(scope="module")
def filled(server, tmp_path_factory):
    """The address of the registry with what skopeo has copied into it, as an engineer would fill it."""
    folder = tmp_path_factory.mktemp("sources")
    copied = {
        "team/app:1.0": AMD64,
        "team/app:latest": AMD64,
        "team/app:multi": BOTH,
        "docker:1": DOCKER,
        "charts/app:0.1.0": images.helm_chart(),
        f"team/app:{SIGNATURE}": images.cosign_signature(AMD64.digest)[1],
    }
    for number, (target, made) in enumerate(copied.items()):
        source = Folder(folder / f"source{number}")
        made.put(source, "x", "x")
        server.copy_in(f"dir:{source.path}", target, "--all", "--preserve-digests")
    return server.url


SIGNATURE = images.cosign_signature(AMD64.digest)[0]


class Folder:
    """An image in a folder, as skopeo's ``dir:`` has it, in the place of a registry."""

    def __init__(self, path):
        self.path = path
        path.mkdir()
        (path / "version").write_text("Directory Transport Version: 1.1\n")

    def put_blob(self, data):
        (self.path / images.sha256(data).partition(":")[2]).write_bytes(data)

    def put_manifest(self, repository, reference, content, media_type):
        name = "manifest.json" if ":" not in reference else f"{reference.partition(':')[2]}.manifest.json"
        (self.path / name).write_bytes(content)


@pytest.fixture
def client(filled, authority):
    endpoint = Endpoint(filled, USER, PASSWORD, ca_bundle=authority.pem, allowed_networks=("127.0.0.0/8",))
    with DistributionClient(endpoint) as made:
        yield made


def test_it_is_listed_and_judged(client):
    client.ping()
    assert list(client.repositories()) == ["charts/app", "docker", "team/app"]
    kinds = {}
    for repository in client.repositories():
        for tag in client.tags(repository):
            head = client.head_manifest(repository, tag)
            raw = client.manifest(repository, head.digest)
            assert (raw.digest, raw.media_type) == (head.digest, head.media_type)
            kinds[f"{repository}:{tag}"] = classify(parse_manifest(raw), tag=tag).kind
    assert kinds == {
        "charts/app:0.1.0": "other",
        "docker:1": "image",
        "team/app:1.0": "image",
        "team/app:latest": "image",
        "team/app:multi": "index",
        f"team/app:{SIGNATURE}": "other",
    }


def test_it_is_pulled_byte_for_byte(client):
    for repository, tag, made in (("team/app", "1.0", AMD64), ("docker", "1", DOCKER)):
        parsed = parse_manifest(client.manifest(repository, tag))
        assert isinstance(parsed, ImageManifest)
        assert client.blob_bytes(repository, parsed.config, limit=1 << 20) == made.config
        assert parse_config(made.config).diff_ids == tuple(layer.diff_id for layer in made.layers)
        for descriptor, layer in zip(parsed.layers, made.layers, strict=True):
            with client.blob(repository, descriptor) as reader:
                assert reader.read() == layer.content
            assert client.blob_part(repository, descriptor, start=7, length=32) == layer.content[7:39]


def test_its_index_leads_to_the_image(client):
    index = parse_manifest(client.manifest("team/app", "multi"))
    assert isinstance(index, Index)
    chosen = choose_platform(index)
    assert str(chosen.digest) == AMD64.digest
    assert client.manifest("team/app", chosen.digest).content == AMD64.manifest


def test_two_tags_of_one_image_have_one_digest(client):
    assert client.head_manifest("team/app", "1.0").digest == client.head_manifest("team/app", "latest").digest


def test_what_it_does_not_hold_is_not_found(client):
    with pytest.raises(NotFound, match="MANIFEST_UNKNOWN"):
        client.manifest("team/app", "nosuch")
    assert list(client.tags("no/such")) == []
    other = parse_manifest(client.manifest("docker", "1")).layers[0]
    with pytest.raises(NotFound, match="BLOB_UNKNOWN"), client.blob("team/app", other) as reader:
        reader.read()


def test_a_wrong_password_is_refused_once(filled, authority):
    endpoint = Endpoint(filled, USER, "wrong", ca_bundle=authority.pem, allowed_networks=("127.0.0.0/8",))
    with DistributionClient(endpoint) as client:
        for _ in range(2):
            with pytest.raises(CredentialsRefused):
                client.ping()


def test_its_certificate_counts(filled):
    endpoint = Endpoint(filled, USER, PASSWORD, allowed_networks=("127.0.0.0/8",))
    with DistributionClient(endpoint) as client, pytest.raises(CertificateError):
        client.ping()
    with DistributionClient(dataclasses.replace(endpoint, verify=False)) as client:
        client.ping()


@pytest.mark.parametrize("size", [10, 5000])
def test_its_catalog_is_read_page_by_page(client, server, monkeypatch, size):
    """5000 is more than docker-registry gives at once: it answers 400."""
    monkeypatch.setattr("registries.oci.name_lists.PAGE_SIZE", size)
    held = server.storage / "docker" / "registry" / "v2" / "repositories"
    names = [f"bulk/app{number:02}" for number in range(35)]
    for name in names:
        (held / name / "_layers").mkdir(parents=True)
    try:
        assert list(client.repositories()) == [*names, "charts/app", "docker", "team/app"]
        assert list(client.tags(names[0])) == []
    finally:
        shutil.rmtree(held / "bulk")
