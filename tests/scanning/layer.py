"""Layers for tests: uncompressed tars, made on the spot."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

# The EICAR test file, put together at run time so that no antivirus program takes this file for it.
EICAR = "".join(("X5O!P%@AP[4\\PZX54(P^)7CC)7}$", "EICAR-STANDARD-", "ANTIVIRUS-TEST-FILE!$H+H*")).encode()


def tar(files: dict[str, bytes]) -> bytes:
    """Return an uncompressed tar of ``files``."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return out.getvalue()


def layer(path: Path, files: dict[str, bytes]) -> Path:
    """Write a layer of ``files`` into the folder ``path`` and return its path."""
    file = path / "layer.tar"
    file.write_bytes(tar(files))
    return file
