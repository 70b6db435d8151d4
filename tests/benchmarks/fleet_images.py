"""Images of real packages that share bases, as an OCI layout: Debian by mmdebstrap, Python packages from here."""

from __future__ import annotations

import hashlib
import io
import subprocess
import sysconfig
import tarfile
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path

from tests.fakes import images
from tests.fakes.docker_registry import program

SITE_PACKAGES = Path(sysconfig.get_path("purelib"))
PACKAGE_FAMILIES: tuple[tuple[str, ...], ...] = (  # packages of the middle layer; each family is a base of its own
    ("django", "psycopg", "psycopg_binary", "psycopg_binary.libs", "redis"),
    ("botocore", "boto3", "s3transfer", "cryptography"),
    ("pygments", "lxml", "zstandard", "yaml"),
    ("mypy", "mypyc", "hypothesis"),
    ("networkx", "setuptools", "pip"),
)
SMALL_PACKAGES = ("requests", "urllib3", "idna", "certifi", "sqlparse", "openpyxl", "et_xmlfile", "asgiref")
EICAR = b"X5O!P%@AP[4\\PZX54(P^)7CC)7}$EICAR-" + b"STANDARD-ANTIVIRUS-TEST-FILE!$H+H*"
TOKEN_LINE = b"GITHUB_TOKEN=ghp_" + b"x7Kq9ZrT2mWvB4nYcH8sLdF1gJpE6uA3oQiR\n"


def debian(folder: Path) -> Path:
    """Return a root file system of Debian 12 with Python, made in ``folder`` where it is not there yet (a minute)."""
    tar = folder / "debian.tar"
    if not tar.exists():
        made = tar.with_suffix(".new.tar")
        command = [program("mmdebstrap"), "--quiet", "--variant=minbase", "--include=python3,ca-certificates,curl"]
        subprocess.run([*command, "bookworm", str(made)], check=True, capture_output=True, timeout=300)
        made.rename(tar)
    return tar


class Layout:
    """An OCI layout on disk, into which layers and images are written. Every layer is compressed once, by gzip -6."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.blobs = folder, folder / "blobs" / "sha256"
        self.blobs.mkdir(parents=True)
        (folder / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
        self._manifests: list[dict[str, object]] = []
        self.uncompressed = 0  # bytes of the distinct layers
        self.compressed = 0

    def layer(self, pieces: Iterator[bytes]) -> tuple[str, dict[str, object]]:
        """Write a layer of the uncompressed ``pieces``; return its diff ID and descriptor."""
        plain, packed, size = hashlib.sha256(), hashlib.sha256(), 0
        compressor = zlib.compressobj(6, wbits=31)
        partial = self.blobs / "new"
        with partial.open("wb") as file:
            for piece in pieces:
                plain.update(piece)
                self.uncompressed += len(piece)
                if out := compressor.compress(piece):
                    packed.update(out)
                    size += file.write(out)
            out = compressor.flush()
            packed.update(out)
            size += file.write(out)
        self.compressed += size
        partial.rename(self.blobs / packed.hexdigest())
        described = {
            "mediaType": images.OCI_LAYER + "+gzip",
            "digest": f"sha256:{packed.hexdigest()}",
            "size": size,
        }
        return f"sha256:{plain.hexdigest()}", described

    def image(self, name: str, layers: Sequence[tuple[str, dict[str, object]]]) -> None:
        """Write an image of these layers under ``name``."""
        config = images.to_json(
            {
                "os": "linux",
                "architecture": "amd64",
                "config": {},
                "rootfs": {"type": "layers", "diff_ids": [diff_id for diff_id, _descriptor in layers]},
                "history": [{"created_by": f"COPY step{number} /"} for number in range(len(layers))],
            }
        )
        manifest = images.to_json(
            {
                "schemaVersion": 2,
                "mediaType": images.OCI_MANIFEST,
                "config": images.descriptor(config, images.OCI_CONFIG),
                "layers": [descriptor for _diff_id, descriptor in layers],
            }
        )
        for content in (config, manifest):
            (self.blobs / hashlib.sha256(content).hexdigest()).write_bytes(content)
        named = images.descriptor(
            manifest, images.OCI_MANIFEST, annotations={"org.opencontainers.image.ref.name": name}
        )
        self._manifests.append(named)
        index = {"schemaVersion": 2, "manifests": self._manifests}
        (self.folder / "index.json").write_bytes(images.to_json(index))


def build(folder: Path, root: Path, count: int, *, own: int = 1) -> tuple[Layout, list[str]]:
    """Make ``count`` images on the root file system ``root``; return their layout and names, families in turn.

    Each has a layer of ``own`` packages that no other image shares.
    """
    layout = Layout(folder)
    base = layout.layer(_pieces(root))
    middles = [layout.layer(iter([_packages(family)])) for family in PACKAGE_FAMILIES[: max(1, count)]]
    names = []
    for number in range(count):
        packages = [SMALL_PACKAGES[(number + more) % len(SMALL_PACKAGES)] for more in range(own)]
        planted = {f"app/{number}/config.env": TOKEN_LINE} | ({"srv/eicar.com": EICAR} if number % 5 == 0 else {})
        top = images.tar({f"app/{number}/main.py": b"print(%d)\n" % number, **planted})
        layers = [
            base,
            middles[number % len(middles)],
            layout.layer(iter([_packages(packages, prefix=f"srv/app{number}/lib")])),
            layout.layer(iter([top])),
        ]
        names.append(f"app{number}")
        layout.image(names[-1], layers)
    return layout, names


def _pieces(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while piece := file.read(1 << 20):
            yield piece


def _packages(names: Sequence[str], prefix: str = "usr/local/lib/python3.11/site-packages") -> bytes:
    """Return a tar of installed packages with their metadata, which is what makes Trivy know them."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for name in names:
            for path in (*SITE_PACKAGES.glob(name), *SITE_PACKAGES.glob(f"{name.replace('-', '_')}-*.dist-info")):
                archive.add(path, f"{prefix}/{path.name}", filter=_same)
    return out.getvalue()


def _same(member: tarfile.TarInfo) -> tarfile.TarInfo | None:
    if "__pycache__" in member.name:
        return None
    member.uid = member.gid = 0
    member.mtime = 1_700_000_000
    return member
