"""Layers that are made to do harm, through the whole pipeline with its real engines: a test for each way.

Bombs of gzip, zstd and tar, names and links that lead out of the image, devices, names that are no text, files without
number (a million of them: ``python -m tests.benchmarks.large_image --files 1000000``). Odd but honest images are in
test_formats. After each the store is empty, nothing is written elsewhere, and what was not seen is said.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import tarfile
import tracemalloc
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Protocol

import pytest
import zstandard

from console.jobs.models import State
from registries.models import Registry
from scanning.models import CategoryResult, LayerResult, MalwareFinding, Scan, SecretFinding
from tests.fakes import images
from tests.fakes.registry import FakeRegistry
from tests.scanning.conftest import layer_files, scan, sync
from tests.scanning.engines.formats.test_detect import outcomes
from tests.scanning.execution.test_pipeline import DEBIAN, EICAR, TOKEN, only_tag

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("vulnerability_database")]

BOMB = 600  # MiB, in some hundred KB
TIB = 1 << 40
HARMLESS = (State.SUCCEEDED, "")


class Packer(Protocol):
    """A compressor, of gzip or zstd."""

    def compress(self, data: bytes, /) -> bytes: ...
    def flush(self) -> bytes: ...


@pytest.fixture
def scanned(fake: FakeRegistry, registry: Registry) -> Iterator[Callable[[images.Image], Scan]]:
    """Scans an image, and looks afterwards whether anything is left of it."""

    def look(image: images.Image) -> Scan:
        image.put(fake, "team/app", "1.0")
        sync(registry)
        return scan(only_tag())

    yield look
    assert not layer_files()


def member(name: str, content: bytes = b"", kind: bytes = tarfile.REGTYPE, target: str = "") -> tuple[bytes, bytes]:
    """One entry of a tar: its header and its padded bytes."""
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.size = kind, target, len(content)
    return info.tobuf(tarfile.GNU_FORMAT, "utf-8", "surrogateescape"), content + bytes(-len(content) % 512)


def layer(*members: tuple[bytes, bytes]) -> images.Layer:
    data = b"".join(header + content for header, content in members) + bytes(1024)
    return images.Layer(data, data, images.OCI_LAYER)


def with_size(entry: tuple[bytes, bytes], size: int) -> tuple[bytes, bytes]:
    """``entry`` with another size in its header."""
    header = bytearray(entry[0])
    header[124:136] = b"\x80" + size.to_bytes(11, "big")
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header[:512])
    return bytes(header), entry[1]


def bomb(packer: Packer, media_type: str) -> images.Image:
    """An image with a layer of BOMB MiB of zeros, whose config names it as it should."""
    digest, packed, zeros = hashlib.sha256(), b"", bytes(1 << 20)
    for _ in range(BOMB):
        packed += packer.compress(zeros)
        digest.update(zeros)
    packed += packer.flush()
    made = images.Layer(b"", packed, images.OCI_LAYER + media_type)
    image = images.image(DEBIAN, made)
    config = image.config.replace(made.diff_id.encode(), b"sha256:" + digest.hexdigest().encode())
    manifest = json.loads(image.manifest) | {"config": images.descriptor(config, images.OCI_CONFIG)}
    return replace(image, config=config, manifest=images.to_json(manifest))


@pytest.mark.parametrize(
    ("packer", "media_type"),
    [(lambda: zlib.compressobj(9, wbits=31), "+gzip"), (lambda: zstandard.ZstdCompressor(19).compressobj(), "+zstd")],
    ids=["gzip", "zstd"],
)
def test_a_compression_bomb_is_a_scan_exception_long_before_it_is_unpacked(
    scanned: Callable[[images.Image], Scan], packer: Callable[[], Packer], media_type: str
) -> None:
    ended = scanned(bomb(packer(), media_type))
    assert ended.state == State.FAILED
    assert "200 times its compressed size" in ended.reason
    assert ended.attempt == 1


def test_a_bomb_inside_a_file_of_a_layer_is_said_and_the_rest_is_looked_at(
    scanned: Callable[[images.Image], Scan],
) -> None:
    inside = gzip.compress(bytes(64 << 20), 9)
    ended = scanned(images.image({**DEBIAN, "srv/bomb.gz": inside, "srv/eicar.com": EICAR}))
    assert ended.state == State.SUCCEEDED
    assert outcomes()["malware"] == "partial"
    assert "200 times" in CategoryResult.objects.get(category="malware").reason
    assert MalwareFinding.objects.get().path == "srv/eicar.com"


def test_archives_in_archives_without_end_are_looked_into_to_a_bounded_depth(
    scanned: Callable[[images.Image], Scan],
) -> None:
    content = EICAR
    for number in range(12):
        out = io.BytesIO()
        with zipfile.ZipFile(out, "w") as archive:
            archive.writestr(f"{number}.zip" if number else "eicar.com", content)
        content = out.getvalue()
    scanned(images.image({**DEBIAN, "srv/doll.zip": content}))
    assert outcomes()["malware"] == "partial"
    assert "nested deeper than 3" in CategoryResult.objects.get(category="malware").reason


@pytest.mark.parametrize("name", ["srv/large.bin", "srv/app.jar", "srv/package-lock.json"])
def test_a_tar_bomb_of_holes_is_not_filled(scanned: Callable[[images.Image], Scan], name: str) -> None:
    header = bytearray(member(name, kind=tarfile.GNUTYPE_SPARSE)[0])  # a file of 1 TiB, of which 512 bytes are there
    header[124:136] = b"%011o\0" % 512
    header[386:410] = b"%011o\0%011o\0" % (0, 512)
    header[483:495] = b"\x80" + TIB.to_bytes(11, "big")
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    sparse = bytes(header), EICAR.ljust(512)
    ended = scanned(images.image(DEBIAN, layer(sparse, member("srv/eicar.com", EICAR))))
    assert ended.state == State.SUCCEEDED
    assert outcomes()["malware"] == "partial"
    assert "GiB" in CategoryResult.objects.get(category="malware").reason
    assert "srv/eicar.com" in MalwareFinding.objects.values_list("path", flat=True)


def test_a_file_that_claims_to_be_larger_than_its_layer_is_damage_and_no_crash(
    scanned: Callable[[images.Image], Scan],
) -> None:
    entries = member("srv/eicar.com", EICAR), with_size(member("srv/huge", b"x" * 512), TIB)
    ended = scanned(images.image(DEBIAN, layer(*entries)))
    assert ended.is_final
    assert outcomes()["malware"] == "partial"
    assert "damaged" in CategoryResult.objects.get(category="malware").reason
    assert MalwareFinding.objects.get().path == "srv/eicar.com"


def test_a_path_that_climbs_out_of_the_image_leads_nowhere(
    scanned: Callable[[images.Image], Scan], tmp_path: Path
) -> None:
    outside = "../" * 30 + str(tmp_path / "escaped").lstrip("/")
    names = [outside, str(tmp_path / "absolute"), "srv/../../../../../../.." + str(tmp_path / "middle")]
    assert_harmless(scanned(images.image(DEBIAN, layer(*(member(name, EICAR) for name in names)))))
    assert list(tmp_path.iterdir()) == []
    assert MalwareFinding.objects.count() == len(names)
    assert not [path for path in MalwareFinding.objects.values_list("path", flat=True) if ".." in path]


def test_a_symbolic_link_is_neither_followed_nor_written_through(
    scanned: Callable[[images.Image], Scan], tmp_path: Path
) -> None:
    secret = tmp_path / "secret.env"
    secret.write_bytes(b"GITHUB_TOKEN=" + TOKEN + b"\n")
    entries = [
        member("app/config.env", kind=tarfile.SYMTYPE, target=str(secret)),
        member("app/etc", kind=tarfile.SYMTYPE, target=str(tmp_path)),
        member("app/etc/written", EICAR),
        member("app/loop", kind=tarfile.SYMTYPE, target="loop"),
    ]
    assert_harmless(scanned(images.image(DEBIAN, layer(*entries))))
    assert list(tmp_path.iterdir()) == [secret]
    assert not SecretFinding.objects.exists()
    assert MalwareFinding.objects.get().path == "app/etc/written"


def test_a_hard_link_to_a_file_outside_shows_nothing_of_it(
    scanned: Callable[[images.Image], Scan], tmp_path: Path
) -> None:
    secret = tmp_path / "secret.env"
    secret.write_bytes(b"GITHUB_TOKEN=" + TOKEN + b"\n")
    entries = [
        member("app/config.env", kind=tarfile.LNKTYPE, target="../" * 30 + str(secret).lstrip("/")),
        member("app/absolute.env", kind=tarfile.LNKTYPE, target=str(secret)),
        with_size(member("app/sized", kind=tarfile.LNKTYPE, target="app/config.env"), 1 << 30),
    ]
    assert_harmless(scanned(images.image(DEBIAN, layer(*entries))))
    assert secret.stat().st_nlink == 1
    assert not SecretFinding.objects.exists()


def test_devices_and_pipes_are_passed_over_and_block_nothing(scanned: Callable[[images.Image], Scan]) -> None:
    kinds = {"dev/zero": tarfile.CHRTYPE, "dev/sda": tarfile.BLKTYPE, "run/pipe.json": tarfile.FIFOTYPE}
    entries = [member(name, kind=kind) for name, kind in kinds.items()]
    assert_harmless(scanned(images.image(DEBIAN, layer(*entries, member("srv/eicar.com", EICAR)))))
    assert MalwareFinding.objects.get().path == "srv/eicar.com"


def test_names_that_are_no_text_are_kept_apart_and_shown_as_text(scanned: Callable[[images.Image], Scan]) -> None:
    names = ["srv/caf\udce9.com", "srv/\udcff.com", "srv/caf\u00e9.com", "srv/new\nline.com", "srv/\u202emoc.exe"]
    assert_harmless(scanned(images.image(DEBIAN, layer(*(member(name, EICAR) for name in names)))))
    paths = list(MalwareFinding.objects.values_list("path", flat=True))
    assert len(set(paths)) == len(names)
    assert all(path.isprintable() for path in paths)


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_files_without_number_take_no_memory(scanned: Callable[[images.Image], Scan]) -> None:
    count = 100_000
    files = b"".join(b"".join(member(f"data/{number // 1000}/{number}", b"%d" % number)) for number in range(count))
    data = files + bytes(1024)
    image = images.image(DEBIAN, images.Layer(data, zlib.compress(data, 1, wbits=31), images.OCI_LAYER + "+gzip"))
    del data, files
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        ended = scanned(image)
        peak = tracemalloc.get_traced_memory()[1] - before
    finally:
        tracemalloc.stop()
    assert_harmless(ended)
    assert LayerResult.objects.filter(engine="yara", files=count).exists()
    assert peak < 20 << 20  # 200 bytes for each file would be as much


def test_an_image_of_more_layers_than_any_builder_makes_is_scanned(scanned: Callable[[images.Image], Scan]) -> None:
    few = [images.layer({f"{number}": os.urandom(8)}) for number in range(120)]
    ended = scanned(images.image(DEBIAN, *few))
    assert_harmless(ended)
    assert ended.layers_pulled == 121


def assert_harmless(ended: Scan) -> None:
    assert (ended.state, ended.reason) == HARMLESS
    assert set(outcomes().values()) == {"done"}
