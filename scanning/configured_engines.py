"""The engines of this console, built from its settings. One literal place that says which there are."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

from django.conf import settings

from console import secret_keys
from console.sandbox import run as sandbox_run
from scanning.engines.base import MalwareEngine, Readiness
from scanning.engines.clamav.engine import ClamAv
from scanning.engines.sandbox.pool import SandboxPool
from scanning.engines.trivy.batch import MAX_BATCH_IMAGES
from scanning.engines.trivy.engine import PINNED_SHA256, Trivy
from scanning.engines.trivy.server import MatchServer
from scanning.engines.yara.engine import Yara
from scanning.layers import LayerStore
from scanning.layers.analysis_cache import DatabaseLayerCache
from scanning.rules import team as rules_team
from scanning.vulndb import install as vulndb_install

__all__ = [
    "MAX_BATCH_IMAGES",
    "MalwareEngine",
    "Readiness",
    "clamav",
    "fingerprint_key",
    "layer_store",
    "malware_engines",
    "prepare",
    "trivy",
    "yara",
]

RULES_FOLDER = Path(__file__).parent / "rules"
RULES_SHA256 = "35fdaedc2d49f937b16f59ee7e7dd951f07cb8b0e6daafb9c4cc533628e07e65"  # test_rules.py tells it


@lru_cache(maxsize=1)
def trivy() -> Trivy:
    """Return the analyser for vulnerabilities, packages and sensitive data."""
    return Trivy(
        executable=Path(settings.TRIVY) if settings.TRIVY else None,
        expected_sha256=None if settings.TRIVY else PINNED_SHA256,
        home=settings.DATA_DIR / "trivy" / "home",
        memory=DatabaseLayerCache(),
        database=vulndb_install.folder(),
        fingerprint_key=fingerprint_key(),
        run=sandbox_run.run,
        server=MatchServer(),
    )


@lru_cache(maxsize=1)
def yara() -> Yara:
    """Return the engine for viruses and trojans. Rules are compiled once in a process."""
    return Yara(
        rules=RULES_FOLDER,
        extra=rules_team.folder(),
        edited=rules_team.source_folder(),
        expected_sha256=RULES_SHA256,
        sandbox=_sandbox(),
    )


@lru_cache(maxsize=1)
def clamav() -> ClamAv | None:
    """Return ClamAV, or None where no clamd is configured."""
    if not settings.CLAMD:
        return None
    return ClamAv(address=settings.CLAMD, max_file_bytes=settings.CLAMD_MAX_BYTES, sandbox=_sandbox())


@lru_cache(maxsize=1)
def _sandbox() -> SandboxPool:
    """Return what reads layers for the engines against malware: beside each process that scans."""
    return SandboxPool()


def malware_engines() -> tuple[MalwareEngine, ...]:
    """Return the engines that look for viruses and trojans; each layer is read by all of them."""
    antivirus = clamav()
    return (yara(), antivirus) if antivirus else (yara(),)


@lru_cache(maxsize=1)
def layer_store() -> LayerStore:
    """Return the store that holds layers while scans need them."""
    return LayerStore(settings.DATA_DIR / "layers", max_bytes=settings.LAYER_STORE_BYTES)


def prepare() -> None:
    """Do what every process that scans would do once: verify the executable, compile the rules. Raises nothing."""
    trivy().ready()
    yara().ready()


def fingerprint_key() -> bytes:
    """Return the key of the keyed hashes of sensitive data; made once, kept in the data folder."""
    return secret_keys.read_or_make(settings.DATA_DIR / "keys" / "fingerprint_key").encode()
