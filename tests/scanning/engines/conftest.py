"""Images whose layers lie uncompressed on disk, as the layer store has them, and a Trivy to look at them."""

from __future__ import annotations

import dataclasses
import json
import stat
import textwrap
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from pathlib import Path

import pytest

from console.sandbox import run as sandbox_run
from demo.vulndb_build import build_demo_vulndb
from scanning.engines.base import ImageInput, ImageReport, RiskCategory, StoredLayer
from scanning.engines.trivy.cache import CachedLayer
from scanning.engines.trivy.engine import PINNED_SHA256, Trivy
from scanning.engines.trivy.server import MatchServer
from tests.fakes import images

BOTH_CATEGORIES = frozenset({RiskCategory.VULNERABILITIES, RiskCategory.SENSITIVE})
GITHUB_TOKEN = "ghp_" + "A1b2C3d4E5f6G7h8I9j0K1l2M3n4O5p6Q7r8"
AWS_KEY_ID = "AKIA" + "IOSFODNN7EXAMPLQ"
AWS_SECRET = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYzzzzzzzKEY"
SLACK_TOKEN = "xoxb-" + "123456789012-123456789012-AbCdEfGhIjKlMnOpQrStUvWx"
PRIVATE_KEY_LINES = ["MIIEpAIBAAKCAQEA" + f"{number:02d}abcdef" * 6 for number in range(8)]

DEBIAN = {
    "etc/os-release": 'PRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\nID=debian\nVERSION_ID="12"\n',
    "etc/debian_version": "12.4\n",
}
ALPINE = {"etc/alpine-release": "3.18.2\n", "etc/os-release": "ID=alpine\nVERSION_ID=3.18.2\n"}


def dpkg(*packages: tuple[str, str, str]) -> str:
    """The text of dpkg's status file for packages of (name, source, version)."""
    return "".join(
        f"Package: {name}\nStatus: install ok installed\nSource: {source}\nVersion: {version}\nArchitecture: amd64\n\n"
        for name, source, version in packages
    )


def apk(*packages: tuple[str, str, str]) -> str:
    """The text of apk's list of installed packages."""
    return "".join(f"P:{name}\nV:{version}\nA:x86_64\no:{origin}\n\n" for name, origin, version in packages)


def python_package(name: str, version: str) -> dict[str, str]:
    """The files by which an installed Python package is known."""
    text = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
    return {f"usr/lib/python3/site-packages/{name}-{version}.dist-info/METADATA": text}


def npm_package(name: str, version: str) -> dict[str, str]:
    """The file by which an installed npm package is known."""
    return {f"app/node_modules/{name}/package.json": f'{{"name": "{name}", "version": "{version}"}}'}


BASE = {**DEBIAN, "var/lib/dpkg/status": dpkg(("libexpat1", "expat", "2.5.0-1"), ("libssl3", "openssl", "3.0.9-1"))}
APP = {**python_package("Django", "4.2.2"), **npm_package("lodash", "4.17.4"), "app/.env": f"TOKEN={GITHUB_TOKEN}\n"}


def on_disk(folder: Path, *layers: Mapping[str, str | bytes]) -> ImageInput:
    """An image of ``layers``, each of which lies in ``folder`` as a tar."""
    made = images.image(*(images.layer(_encoded(files), "none") for files in layers))
    return stored(folder, made)


def stored(folder: Path, image: images.Image) -> ImageInput:
    """``image`` with its layers uncompressed in ``folder``."""
    folder.mkdir(parents=True, exist_ok=True)
    layers = []
    for position, layer in enumerate(image.layers):
        path = folder / layer.diff_id.removeprefix("sha256:")
        path.write_bytes(layer.tar)
        layers.append(StoredLayer(position, layer.diff_id, path, len(layer.tar)))
    return ImageInput(config=image.config, layers=layers)


def without(image: ImageInput, diff_ids: Collection[str]) -> ImageInput:
    """``image`` as it is given where these layers were not pulled."""
    layers = [dataclasses.replace(each, path=None) if each.diff_id in diff_ids else each for each in image.layers]
    return dataclasses.replace(image, layers=layers)


def diff_ids(image: ImageInput) -> list[str]:
    return [layer.diff_id for layer in image.layers]


def no_stop() -> None:
    """Nothing stops this work."""


class MemoryLayerCache:
    """Keeps notes of layers in memory, where the console has its database."""

    def __init__(self) -> None:
        self.kept: dict[tuple[str, str], CachedLayer] = {}  # with the owner, if there is one, in the variant

    def cached(self, variant: str, diff_ids: Collection[str], *, owner: str) -> frozenset[str]:
        return frozenset(self.load(variant, diff_ids, owner=owner))

    def load(self, variant: str, diff_ids: Collection[str], *, owner: str) -> dict[str, CachedLayer]:
        places = [(variant + owner, diff_id) for diff_id in diff_ids] + [(variant, diff_id) for diff_id in diff_ids]
        return {diff_id: self.kept[where, diff_id] for where, diff_id in places if (where, diff_id) in self.kept}

    def save(self, variant: str, notes: Mapping[str, CachedLayer], *, owner: str) -> None:
        self.kept |= {(variant + owner, diff_id): note for diff_id, note in notes.items()}

    def discard(self, variant: str, diff_ids: Collection[str]) -> None:
        gone = set(diff_ids)
        self.kept = {
            key: note for key, note in self.kept.items() if not (key[0].startswith(variant) and key[1] in gone)
        }


def analyse(
    trivy: Trivy,
    image: ImageInput,
    scratch: Path,
    categories: Iterable[RiskCategory] = BOTH_CATEGORIES,
    *,
    use_cache: bool = True,
    check: Callable[[], None] = no_stop,
    timeout: float = 60,
) -> ImageReport:
    """Analyse ``image`` as the pipeline does: layers that are known are given without their path."""
    session = trivy.session(categories=frozenset(categories))
    known = session.known(diff_ids(image)) if use_cache else ()
    return session.analyse(without(image, known), scratch=scratch, check=check, timeout=timeout)


def normalised_report(report: ImageReport) -> dict[str, object]:
    """A report without the order of its members, and with what a package is matched again by."""
    told = dataclasses.asdict(report)
    told["packages"] = sorted((dataclasses.asdict(fact) for fact in report.packages), key=repr)
    for name in ("vulnerabilities", "matches", "secrets"):
        told[name] = sorted(told[name], key=repr)
    told["system"] = json.loads(report.system) if report.system else report.system
    return told


@pytest.fixture(scope="session")
def demo_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_demo_vulndb(tmp_path_factory.mktemp("database") / "db")


@pytest.fixture
def notes() -> MemoryLayerCache:
    return MemoryLayerCache()


@pytest.fixture
def server() -> Iterator[MatchServer]:
    """Trivy's server, of which nothing is left at the end."""
    server = MatchServer()
    yield server
    server.close()


@pytest.fixture
def make_trivy(
    tmp_path: Path, demo_database: Path, notes: MemoryLayerCache, server: MatchServer
) -> Callable[..., Trivy]:
    """Makes engines that share their notes of layers; keywords replace what a real one is made with."""

    def make(**changes: object) -> Trivy:
        options: dict[str, object] = {
            "executable": None,
            "expected_sha256": PINNED_SHA256,
            "home": tmp_path / "home",
            "memory": notes,
            "database": demo_database,
            "fingerprint_key": b"a key for tests",
            "run": sandbox_run.run,
            "server": server,
        }
        return Trivy(**{**options, **changes})  # type: ignore[arg-type]

    return make


@pytest.fixture
def trivy(make_trivy: Callable[..., Trivy]) -> Trivy:
    return make_trivy()


@pytest.fixture
def fake_trivy(tmp_path: Path, make_trivy: Callable[..., Trivy]) -> Callable[[str], Trivy]:
    """Makes an engine whose executable answers ``--version`` like Trivy and else runs the given shell commands."""

    def make(script: str) -> Trivy:
        path = tmp_path / "fake-trivy"
        version = '[ "$1" = --version ] && { echo \'{"Version": "0.0.1"}\'; exit; }'
        path.write_text(f"#!/bin/bash\nPATH=/usr/bin:/bin\n{version}\n{textwrap.dedent(script)}\n")
        path.chmod(path.stat().st_mode | stat.S_IXUSR)
        return make_trivy(executable=path, expected_sha256=None)

    return make


@pytest.fixture
def scratch(tmp_path: Path) -> Path:
    folder = tmp_path / "scratch"
    folder.mkdir()
    return folder


@pytest.fixture
def image(tmp_path: Path) -> ImageInput:
    """Four packages in two layers, and one secret in the upper."""
    return on_disk(tmp_path / "layers", BASE, APP)


def _encoded(files: Mapping[str, str | bytes]) -> dict[str, bytes]:
    return {path: text.encode() if isinstance(text, str) else text for path, text in files.items()}
