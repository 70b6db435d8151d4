"""Whether a vulnerability database is good: read from end to end, and used by Trivy once."""

from __future__ import annotations

import io
import json
import tarfile
import tempfile
from pathlib import Path

from django.conf import settings

from console.sandbox import run as sandbox_run
from scanning.engines.base import EngineError, ImageInput, RiskCategory, StopCheck, StoredLayer
from scanning.engines.trivy.binary import sha256
from scanning.engines.trivy.cache import NullLayerCache
from scanning.engines.trivy.engine import PINNED_SHA256, Trivy
from scanning.engines.trivy.vulndb_folder import check_contents, check_file
from scanning.vulndb import messages

CHECK_TIMEOUT_SECONDS = 300.0


def make_trivy(database: Path, home: Path) -> Trivy:
    """Return a Trivy that uses this database and remembers nothing; ``home`` is a folder of its own."""
    return Trivy(
        executable=Path(settings.TRIVY) if settings.TRIVY else None,
        expected_sha256=None if settings.TRIVY else PINNED_SHA256,
        home=home,
        memory=NullLayerCache(),
        database=database,
        fingerprint_key=b"",
        run=sandbox_run.run,
    )


def check_vulndb(database: Path, *, scratch: Path, check: StopCheck) -> None:
    """Raise EngineError where the database in this folder is not good. ``scratch`` is where a folder is made for it."""
    check_file(database)
    check_contents(database)
    _look_up(database, scratch, check)


def _look_up(database: Path, root: Path, check: StopCheck) -> None:
    """Have Trivy look up a package in the database. Raises EngineError."""
    with tempfile.TemporaryDirectory(dir=root, prefix="check-") as name:
        scratch = Path(name)
        layer = scratch / "layer.tar"
        with tarfile.open(layer, "w") as archive:
            for path, text in (
                ("etc/debian_version", "12.0\n"),
                (
                    "var/lib/dpkg/status",
                    "Package: openssl\nStatus: install ok installed\nVersion: 0.1\nArchitecture: all\n\n",
                ),
            ):
                member = tarfile.TarInfo(path)
                member.size = len(text)
                archive.addfile(member, io.BytesIO(text.encode()))
        diff_id = f"sha256:{sha256(layer)}"
        image = ImageInput(
            config=json.dumps({"rootfs": {"diff_ids": [diff_id]}}).encode(),
            layers=[StoredLayer(0, diff_id, layer, layer.stat().st_size)],
        )
        trivy = make_trivy(database, scratch / "home")
        session = trivy.session(categories={RiskCategory.VULNERABILITIES})
        report = session.analyse(image, scratch=scratch, check=check, timeout=CHECK_TIMEOUT_SECONDS)
        if not report.packages:
            raise EngineError(messages.PACKAGE_NOT_FOUND(), messages.USE_PINNED_VERSION())
