"""Rows for tests: registries, images with their tags, and findings. Each function saves and returns what it makes."""

from __future__ import annotations

import itertools
from datetime import timedelta
from hashlib import sha256
from typing import Any

from django.utils import timezone

from inventory.models import Image, ImageLayer, Layer, Manifest, ManifestLayer, RegistryLayer, Repository, Tag
from registries.models import Registry
from scanning.engines.base import PackageFact
from scanning.findings.package_variants import package_key, variant_key
from scanning.models import (
    CategoryResult,
    ImagePackage,
    MalwareFinding,
    Package,
    PackageVariant,
    PackageVulnerability,
    SecretFinding,
    Vulnerability,
)
from scanning.models.packages import SeverityRank

_numbers = itertools.count(1)
CLEAN: dict[str, Any] = dict.fromkeys(
    ("critical", "high", "medium", "low", "unknown", "fixable", "viruses", "trojans", "sensitive", "packages"), 0
)
HISTORY = [
    {"created_by": "/bin/sh -c #(nop) ADD file:abc in / ", "empty_layer": False},
    {"created_by": '/bin/sh -c #(nop)  CMD ["bash"]', "empty_layer": True},
    {"created_by": "/bin/sh -c apt-get update && apt-get install -y libexpat1", "empty_layer": False},
]


def digest(text: object = "") -> str:
    """Return a digest of its own for ``text``, for nothing a new one at each call."""
    return f"sha256:{sha256(str(text or next(_numbers)).encode()).hexdigest()}"


def registry(**values: Any) -> Registry:
    number = next(_numbers)
    defaults = {"name": f"registry-{number}", "address": f"https://registry-{number}.test", "type": Registry.Type.OCI}
    return Registry.objects.create(**defaults | values)


def image(*, layers: int = 2, **values: Any) -> Image:
    """An image with ``layers`` layers made by the first and the third step of HISTORY. Not scanned unless told."""
    defaults = {
        "image_id": digest(),
        "os": "linux",
        "architecture": "amd64",
        "created": timezone.now() - timedelta(days=30),
        "history": HISTORY,
        "config_known": True,
        "layer_count": layers,
    }
    made = Image.objects.create(**defaults | values)
    ImageLayer.objects.bulk_create(
        ImageLayer(image=made, position=position, diff_id=digest(), step=position * 2 if position < 2 else None)
        for position in range(layers)
    )
    return made


def tag(
    name: str = "latest", *, of: Image | None = None, path: str = "", in_: Registry | None = None, **values: Any
) -> Tag:
    """A tag of the image ``of`` (a new one) in the repository ``path`` of the registry ``in_`` (a new one).

    That registry has shown that it holds the layers.
    """
    of = of or image()
    in_ = in_ or registry()
    path = path or f"team/app-{next(_numbers)}"
    repository, _made = Repository.objects.get_or_create(registry=in_, name=path)
    manifest = Manifest.objects.filter(image_digest=of.image_id).first()
    if manifest is None:
        manifest = Manifest.objects.create(
            digest=digest(), kind=Manifest.Kind.IMAGE, image_digest=of.image_id, size=50_000_000
        )
        for position, built in enumerate(of.image_layers.all()):
            layer = Layer.objects.create(digest=digest(), diff_id=built.diff_id, size=1000 * (position + 1))
            ManifestLayer.objects.create(manifest=manifest, position=position, layer=layer, size=layer.size)
    RegistryLayer.objects.bulk_create(
        [
            RegistryLayer(registry=in_, layer_id=layer)
            for layer in set(manifest.manifest_layers.values_list("layer", flat=True))
        ],
        ignore_conflicts=True,
    )
    defaults = {"digest": manifest.digest, "address": f"{in_.host}/{path}", "size": manifest.size}
    return Tag.objects.create(repository=repository, name=name, manifest=manifest, image=of, **defaults | values)


def scanned(**counts: int | str) -> dict[str, Any]:
    """Values of an image that was scanned for all categories and has ``counts``, and coverages other than done."""
    ranks = {"critical": 5, "high": 4, "medium": 3, "low": 2, "unknown": 1, "viruses": 4, "trojans": 4, "sensitive": 4}
    return {
        "scan_state": Image.ScanState.SCANNED,
        "last_scanned_at": timezone.now() - timedelta(minutes=12),
        "os_name": "debian 12.6",
        **CLEAN,
        **dict.fromkeys(Image.COVERAGES, Image.Coverage.DONE),
        **counts,
        "highest": max((ranks[name] for name, count in counts.items() if count and name in ranks), default=0),
    }


def vulnerability(of: Image, *, package: str = "libexpat1", **values: Any) -> PackageVulnerability:
    """A vulnerability of a package in ``of``."""
    number = next(_numbers)
    version = values.pop("version", "2.5.0-1")
    kind = values.pop("type", "deb")
    held = variant(f"pkg:{kind}/debian/{package}@{version}", type=kind, name=package, version=version)
    ImagePackage.objects.get_or_create(
        image=of,
        variant=held,
        path=values.pop("path", "var/lib/dpkg/status"),
        defaults={"diff_id": of.image_layers.last().diff_id if of.image_layers.exists() else ""},
    )
    known, _made = Vulnerability.objects.get_or_create(
        name=values.pop("name", f"CVE-2024-{number:05}"),
        defaults={
            "title": values.pop("title", "Integer overflow in the parser"),
            "description": values.pop("description", "Whoever can hand it a document may run code in it."),
            "severity": values.get("severity", SeverityRank.HIGH),
            "cvss_score": values.pop("cvss_score", 9.8),
            "cvss_vector": "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H",
            "references": values.pop("references", [f"https://nvd.test/{number}"]),
            "cwes": ["CWE-190"],
        },
    )
    defaults = {"severity": SeverityRank.HIGH, "severity_source": "debian", "fixed_version": "2.5.0-1+deb12u1"}
    return PackageVulnerability.objects.create(variant=held, vulnerability=known, **defaults | values)


def variant(
    purl: str, *, type: str, name: str, version: str, system: str = "", licenses: tuple[str, ...] = ()
) -> PackageVariant:
    """The variant of a package that all images share which hold exactly this."""
    fact = PackageFact(purl, type, name, version, licenses=licenses)
    named, _made = Package.objects.get_or_create(
        key=package_key(fact), defaults={"purl": purl, "type": type, "name": name, "version": version}
    )
    made, _made = PackageVariant.objects.get_or_create(
        key=variant_key(fact, system=system),
        defaults={"package": named, "system": system, "licenses": list(licenses)},
    )
    return made


def malware(of: Image, **values: Any) -> MalwareFinding:
    defaults = {
        "engine": "yara",
        "rule": "EICAR_Test_File",
        "family": "EICAR",
        "kind": MalwareFinding.Kind.VIRUS,
        "severity": SeverityRank.HIGH,
        "description": "The EICAR test file.",
        "path": f"opt/sample-{next(_numbers)}.com",
        "size": 68,
        "sha256": digest("eicar").removeprefix("sha256:"),
        "diff_id": of.image_layers.last().diff_id,
    }
    return MalwareFinding.objects.create(image=of, **defaults | values)


def secret(of: Image, **values: Any) -> SecretFinding:
    defaults = {
        "rule": "aws-access-key-id",
        "category": "AWS",
        "title": "AWS Access Key ID",
        "severity": SeverityRank.CRITICAL,
        "path": f"app/config-{next(_numbers)}.env",
        "start_line": 3,
        "end_line": 3,
        "masked": "AWS_ACCESS_KEY_ID=AKIA**************EX",
        "fingerprint": "0" * 64,
        "diff_id": of.image_layers.last().diff_id,
    }
    return SecretFinding.objects.create(image=of, **defaults | values)


def result(of: Image, category: str, outcome: str = CategoryResult.Outcome.DONE, **values: Any) -> CategoryResult:
    """The last result of one category of ``of``; it has looked unless it failed or the category is unsupported."""
    now = timezone.now()
    looked = outcome in {CategoryResult.Outcome.DONE, CategoryResult.Outcome.PARTIAL}
    defaults = {"ended_at": now, "looked_at": now if looked else None, "engine_version": "trivy 0.76.0"}
    return CategoryResult.objects.create(image=of, category=category, outcome=outcome, **defaults | values)
