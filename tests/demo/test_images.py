"""The sample images: well-formed, the same at every start, and real enough for a real Trivy."""

import gzip
import io
import json
import os
import shutil
import subprocess
import sys
import tarfile
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest
import zstandard

from demo import build, planted
from demo.images import SampleTag, sample_registry, samples
from demo.vulndb_build import build_demo_vulndb

ALL = list(samples())
IMAGES = {f"{sample.repository}:{sample.tag}": sample for sample in ALL if sample.is_image}
PLANTED_SECRETS = {
    "shop/storefront/web:2.4.1": {
        ("slack-web-hook", "/srv/web/.env", 3),
        ("stripe-secret-token", "/srv/web/.env", 4),
    },
    "shop/storefront/api:3.1.0": {
        ("aws-access-key-id", "/root/.aws/credentials", 2),
        ("aws-secret-access-key", "/root/.aws/credentials", 3),
        ("github-pat", "/srv/api/.netrc", 1),
    },
    "platform/ci/runner:2024.6": {
        ("private-key", "/home/runner/.ssh/id_ed25519", 2),
        ("github-pat", "/home/runner/.git-credentials", 1),
    },
    "shop/backend/payments:1.8.0": {("private-key", "/etc/payments/tls/server.key", 2)},
}
PLANTED_VULNERABILITIES = {
    "library/debian:12": {("libc6", "CVE-2023-4911")},
    "library/alpine:3.18": {("busybox", "CVE-2022-48174"), ("libcrypto3", "CVE-2023-5363")},
    "shop/storefront/web:2.4.1": {("lodash", "CVE-2021-23337"), ("minimist", "CVE-2021-44906")},
    "shop/storefront/api:3.1.0": {("Django", "CVE-2021-35042"), ("libwebp7", "CVE-2023-4863")},
    "shop/backend/payments:1.8": {("libssl3", "CVE-2024-6119")},
    "shop/backend/reports:0.9.2": {("PyYAML", "CVE-2020-14343"), ("Pillow", "CVE-2023-50447")},
    "platform/ci/runner:2024.6": {("git", "CVE-2024-32002")},
    "research/lab/notebook:nightly": {("Jinja2", "CVE-2024-22195")},
}


def manifests(sample: SampleTag) -> list[dict[str, Any]]:
    """Return the manifests of the sample's images, without attestations."""
    top = json.loads(sample.content.manifest.data)
    if "manifests" not in top:
        return [top]
    below = {child.digest: json.loads(child.data) for child in sample.content.children}
    return [below[entry["digest"]] for entry in top["manifests"] if entry["platform"]["os"] != "unknown"]


def blobs(sample: SampleTag) -> dict[str, bytes]:
    return {blob.digest: blob.data for blob in sample.content.blobs}


def uncompressed(layer: dict[str, Any], data: bytes) -> bytes:
    return zstandard.decompress(data) if layer["mediaType"].endswith("zstd") else gzip.decompress(data)


@pytest.mark.parametrize("name", IMAGES)
def test_every_layer_is_the_one_that_config_and_history_tell_of(name: str) -> None:
    for manifest in manifests(IMAGES[name]):
        held = blobs(IMAGES[name])
        config = json.loads(held[manifest["config"]["digest"]])
        tars = [uncompressed(layer, held[layer["digest"]]) for layer in manifest["layers"]]
        assert [build.digest_of(tar) for tar in tars] == config["rootfs"]["diff_ids"]
        assert len([step for step in config["history"] if not step.get("empty_layer")]) == len(tars)
        assert [len(held[layer["digest"]]) for layer in manifest["layers"]] == [
            layer["size"] for layer in manifest["layers"]
        ]
        for tar in tars:
            with tarfile.open(fileobj=io.BytesIO(tar)) as archive:
                assert archive.getnames()


def test_every_start_makes_the_same_images() -> None:
    script = "from demo.images import samples\nfor one in samples(): print(one.content.manifest.digest)"
    again = subprocess.run(
        [sys.executable, "-c", script],
        env=os.environ | {"PYTHONHASHSEED": "7", "TZ": "Asia/Tokyo"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert again.stdout.split() == [sample.content.manifest.digest for sample in ALL]


def test_several_tags_share_an_image_id_and_one_of_them_has_another_manifest() -> None:
    by_image = defaultdict(set)
    for name, sample in IMAGES.items():
        by_image[manifests(sample)[0]["config"]["digest"]].add(name)
    web = {"shop/storefront/web:2.4.1", "shop/storefront/web:latest", "mirror/shop/web:2.4.1"}
    assert web in by_image.values()
    assert len({IMAGES[name].content.manifest.digest for name in web}) == 2


def test_images_share_the_layers_of_their_bases() -> None:
    first_layers = [manifests(sample)[0]["layers"][0]["digest"] for sample in IMAGES.values()]
    assert len(set(first_layers)) < len(first_layers) / 2


def test_the_registry_holds_what_is_no_image_and_every_kind_of_packing() -> None:
    others = {json.loads(sample.content.manifest.data)["config"]["mediaType"] for sample in ALL if not sample.is_image}
    assert others == {"application/vnd.cncf.helm.config.v1+json", "application/vnd.oci.image.config.v1+json"}
    tops = {sample.content.manifest.media_type for sample in IMAGES.values()}
    assert tops == {build.OCI_INDEX, build.OCI_MANIFEST, build.DOCKER_MANIFEST}
    layers = {layer["mediaType"].rpartition("tar")[2] for sample in ALL for layer in manifests(sample)[0]["layers"]}
    assert layers >= {"+gzip", ".gzip", "+zstd"}


def test_the_samples_are_small() -> None:
    content = {blob.digest: len(blob.data) for sample in ALL for blob in sample.content.blobs}
    assert sum(content.values()) < 8 * 1024**2


def test_another_program_can_copy_the_whole_sample_registry(tmp_path: Path) -> None:
    skopeo = shutil.which("skopeo")
    assert skopeo, "make test installs skopeo; on Debian: sudo apt-get install -y skopeo"
    with sample_registry(users={"reader": "pa:ss word"}) as server:
        for number, sample in enumerate(ALL):
            source = f"docker://{server.host}/{sample.repository}:{sample.tag}"
            options = ["--all", "--src-tls-verify=false", "--src-creds", "reader:pa:ss word", "--quiet"]
            subprocess.run(
                [skopeo, "copy", *options, source, f"dir:{tmp_path / str(number)}"], check=True, capture_output=True
            )
            copied = (tmp_path / str(number) / "manifest.json").read_bytes()
            assert build.digest_of(copied) == sample.content.manifest.digest


# --- what a real Trivy says ---------------------------------------------------------------------------------------
@pytest.fixture(scope="module")
def trivy(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    cache = tmp_path_factory.mktemp("trivy")
    build_demo_vulndb(cache / "db")
    program = Path(sys.executable).parent / "trivy"
    return [str(program), "--cache-dir", str(cache), "--quiet", "--format", "json"]


def run_trivy(command: list[str]) -> Any:
    done = subprocess.run(command, capture_output=True, check=True, timeout=60)
    return json.loads(done.stdout)


def write_layout(sample: SampleTag, folder: Path) -> Path:
    target = folder / "blobs" / "sha256"
    target.mkdir(parents=True)
    for blob in (*sample.content.blobs, *sample.content.children, sample.content.manifest):
        (target / blob.digest.removeprefix("sha256:")).write_bytes(blob.data)
    (folder / "oci-layout").write_text('{"imageLayoutVersion":"1.0.0"}')
    index = {"schemaVersion": 2, "manifests": [sample.content.manifest.descriptor()]}
    (folder / "index.json").write_text(json.dumps(index))
    return folder


@pytest.mark.parametrize("name", IMAGES)
def test_trivy_finds_what_is_planted(name: str, trivy: list[str], tmp_path: Path) -> None:
    layout = write_layout(IMAGES[name], tmp_path / "layout")
    options = ["--input", str(layout), "--skip-db-update", "--offline-scan", "--scanners", "vuln,secret"]
    results = run_trivy([*trivy, "image", *options]).get("Results", [])
    matches = {
        (match["PkgName"], match["VulnerabilityID"])
        for result in results
        for match in result.get("Vulnerabilities", [])
    }
    secrets = {
        (secret["RuleID"], result["Target"], secret["StartLine"])
        for result in results
        for secret in result.get("Secrets", [])
    }
    assert matches >= PLANTED_VULNERABILITIES.get(name, set())
    if name in PLANTED_SECRETS:
        assert secrets == PLANTED_SECRETS[name]
    if name == "platform/base/static:1.0.0":
        assert (matches, secrets) == (set(), set())


def test_the_sources_themselves_hold_no_secret(trivy: list[str]) -> None:
    folder = Path(planted.__file__).parent
    found = run_trivy([*trivy, "fs", "--scanners", "secret", str(folder)])
    assert not found.get("Results")


def test_the_sources_themselves_hold_no_test_virus() -> None:
    folder = Path(planted.__file__).parent
    assert not [path for path in folder.glob("*.py") if planted.eicar() in path.read_bytes()]
