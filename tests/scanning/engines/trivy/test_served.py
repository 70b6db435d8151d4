"""What Trivy's server makes of layers is what a run of Trivy for the image makes of them, which is the measure."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from scanning.engines.base import ImageInput
from scanning.engines.trivy.engine import Trivy
from scanning.engines.trivy.run import analyze_image, read_layers
from scanning.engines.trivy.served import analyze_on_server
from scanning.engines.trivy.setup import AnalysisRequest, AnalysisResult, TrivySetup
from tests.scanning.engines.conftest import (
    ALPINE,
    APP,
    AWS_KEY_ID,
    AWS_SECRET,
    BASE,
    BOTH_CATEGORIES,
    DEBIAN,
    GITHUB_TOKEN,
    SLACK_TOKEN,
    apk,
    dpkg,
    no_stop,
    normalised_report,
    npm_package,
    on_disk,
    python_package,
)

Files = Mapping[str, str | bytes]

UBUNTU = {"etc/lsb-release": "DISTRIB_ID=Ubuntu\nDISTRIB_RELEASE=22.04\nDISTRIB_CODENAME=jammy\n"}
LOCK = {
    "name": "shop",
    "lockfileVersion": 3,
    "packages": {
        "": {"dependencies": {"lodash": "4.17.4"}, "devDependencies": {"minimist": "0.0.8"}},
        "node_modules/lodash": {"version": "4.17.4"},
        "node_modules/minimist": {"version": "0.0.8", "dev": True},
    },
}
COPYRIGHT = "Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/\n\nFiles: *\nLicense: {}\n"
LAYERS: dict[str, Files] = {
    "debian": BASE,
    "debian updated": {
        "var/lib/dpkg/status": dpkg(("libexpat1", "expat", "2.5.0-2"), ("libssl3", "openssl", "3.0.9-1"))
    },
    "debian released anew": {**DEBIAN, "etc/debian_version": "12.9\n"},
    "licences": {"usr/share/doc/libssl3/copyright": COPYRIGHT.format("Apache-2.0")},
    "licences anew": {"usr/share/doc/libssl3/copyright": COPYRIGHT.format("MIT")},
    "packages one by one": {"var/lib/dpkg/status.d/zlib": dpkg(("zlib1g", "zlib", "1:1.2.13.dfsg-1"))},
    "the same one by one": {"var/lib/dpkg/status.d/ssl": dpkg(("libssl3", "openssl", "3.0.9-1"))},
    "two architectures": {
        "var/lib/dpkg/status": dpkg(("libssl3", "openssl", "3.0.9-1"))
        + dpkg(("libssl3", "openssl", "3.0.9-1")).replace("amd64", "i386")
    },
    "alpine": {**ALPINE, "lib/apk/db/installed": apk(("libcrypto3", "openssl", "3.1.0-r4"))},
    "alpine updated": {
        "lib/apk/db/installed": apk(("libcrypto3", "openssl", "3.1.4-r0"), ("zlib", "zlib", "1.2.13-r1"))
    },
    "alpine repositories": {"etc/apk/repositories": "https://dl-cdn.alpinelinux.org/alpine/v3.17/main\n"},
    "ubuntu": {**UBUNTU, "var/lib/dpkg/status": dpkg(("libexpat1", "expat", "2.4.7-1"))},
    "ubuntu pro": {
        "var/lib/ubuntu-advantage/status.json": json.dumps(
            {"attached": True, "services": [{"name": "esm-infra", "status": "enabled"}]}
        )
    },
    "system unknown": {"etc/os-release": "ID=plan9\nVERSION_ID=4\n"},
    "django": APP,
    "django newer": python_package("Django", "4.2.9"),
    "django at home": {"home/me/site-packages/Django-4.2.2.dist-info/METADATA": "Name: Django\nVersion: 4.2.2\n"},
    "requests": python_package("requests", "2.31.0"),
    "lodash": npm_package("lodash", "4.17.21"),
    "lock": {"app/package-lock.json": json.dumps(LOCK)},
    "lock elsewhere": {"srv/deep/package-lock.json": json.dumps(LOCK)},
    "composer": {
        "app/vendor/composer/installed.json": json.dumps(
            {"packages": [{"name": "guzzlehttp/psr7", "version": "1.8.0", "version_normalized": "1.8.0.0"}]}
        )
    },
    "gem": {
        "usr/lib/ruby/specifications/rack-2.2.3.gemspec": "Gem::Specification.new do |s|\n"
        '  s.name = "rack".freeze\n  s.version = "2.2.3"\n  s.licenses = ["MIT".freeze]\nend\n'
    },
    "conda": {
        "opt/conda/conda-meta/openssl-3.0.8-0.json": json.dumps(
            {"name": "openssl", "version": "3.0.8", "license": "Apache-2.0"}
        )
    },
    "bill of materials": {
        "opt/bitnami/redis/.spdx-redis.spdx": json.dumps(
            {
                "spdxVersion": "SPDX-2.3",
                "SPDXID": "SPDXRef-DOCUMENT",
                "name": "redis",
                "packages": [
                    {
                        "name": "lodash",
                        "SPDXID": "SPDXRef-lodash",
                        "versionInfo": "4.17.4",
                        "externalRefs": [
                            {
                                "referenceCategory": "PACKAGE-MANAGER",
                                "referenceType": "purl",
                                "referenceLocator": "pkg:npm/lodash@4.17.4",
                            }
                        ],
                    }
                ],
            }
        )
    },
    "secret": {"app/.env": f"TOKEN={GITHUB_TOKEN}\nID={AWS_KEY_ID}\n"},
    "another secret there": {"app/.env": f"SLACK={SLACK_TOKEN}\n"},
    "the secret changed": {"app/.env": f"# moved\n\nTOKEN={GITHUB_TOKEN[:-4]}zzzz\n"},
    "secret in a config": {"root/.aws/credentials": f"aws_secret_access_key = {AWS_SECRET}\n"},
    "app removed": {".wh.app": ""},
    "app covered": {"app/.wh..wh..opq": "", "app/readme": "new"},
    "python removed": {"usr/lib/python3/.wh.site-packages": ""},
    "dpkg removed": {"var/lib/.wh.dpkg": ""},
    "a file of one by one removed": {"var/lib/dpkg/status.d/.wh.zlib": ""},
    "licences removed": {"usr/share/doc/libssl3/.wh.copyright": ""},
    "everything covered": {".wh..wh..opq": "", "etc/hosts": "127.0.0.1 localhost"},
    "nothing": {"empty": ""},
}
STACKS: list[list[str]] = [
    ["debian", "django"],
    ["debian", "licences", "licences anew"],
    ["debian", "licences", "licences removed"],
    ["debian", "debian updated", "requests"],
    ["debian", "packages one by one", "the same one by one"],
    ["debian", "packages one by one", "a file of one by one removed"],
    ["debian", "two architectures"],
    ["debian", "debian released anew", "django"],
    ["debian", "dpkg removed", "gem"],
    ["alpine", "alpine updated", "lock"],
    ["alpine", "alpine repositories", "composer"],
    ["ubuntu", "ubuntu pro", "django"],
    ["system unknown", "django"],
    ["system unknown", "packages one by one"],
    ["django", "lock", "app removed"],
    ["debian", "django", "lock", "app covered"],
    ["debian", "django", "django newer", "django at home", "python removed", "requests"],
    ["secret", "another secret there", "the secret changed"],
    ["alpine", "secret", "app removed", "secret"],
    ["debian", "secret in a config", "bill of materials", "conda"],
    ["nothing"],
    ["debian", "everything covered"],
]


@pytest.fixture
def tool(trivy: Trivy) -> TrivySetup:
    return trivy._tool(BOTH_CATEGORIES)


@pytest.fixture
def build(tmp_path: Path) -> Callable[[Sequence[str]], ImageInput]:
    return lambda names: on_disk(tmp_path / "layers", *(LAYERS[name] for name in names))


def both(tool: TrivySetup, images: Sequence[ImageInput], scratch: Path) -> list[tuple[AnalysisResult, AnalysisResult]]:
    """What the server makes of each image, whose layers are all read in one run, and what a run for it alone does."""
    layers = {layer.diff_id: layer for image in images for layer in image.layers}
    notes = read_layers(tool, list(layers.values()), scratch=scratch, timeout=60, check=no_stop)
    results = []
    for image in images:
        request = AnalysisRequest(image, {}, scratch, 60)
        assert tool.server
        report = analyze_on_server(tool.server, tool, replace(request, notes=notes), check=no_stop)
        alone = analyze_image(tool, request, check=no_stop)
        own = {layer.diff_id: replace(notes[layer.diff_id], read_with=()) for layer in image.layers}
        others = {diff_id: replace(note, read_with=()) for diff_id, note in alone.new_layers.items()}
        results.append((AnalysisResult(report, own), AnalysisResult(alone.report, others)))
    return results


def test_each_image_gets_what_a_run_for_it_alone_tells(
    tool: TrivySetup, build: Callable[[Sequence[str]], ImageInput], scratch: Path
) -> None:
    found = both(tool, [build(names) for names in STACKS], scratch)
    for names, (served, alone) in zip(STACKS, found, strict=True):
        assert normalised_report(served.report) == normalised_report(alone.report), names
        assert served.new_layers == alone.new_layers, names
    assert sum(bool(served.report.matches) for served, _alone in found) > 10
    assert sum(bool(served.report.secrets) for served, _alone in found) > 3


def test_any_stack_of_these_layers_gives_what_trivy_makes_of_it(
    tool: TrivySetup, build: Callable[[Sequence[str]], ImageInput], scratch: Path
) -> None:
    chance = random.Random(20261123)
    # With namesakes of two architectures it is chance which of them Trivy tells of.
    names = [name for name in LAYERS if name != "two architectures"]
    bases = ["debian", "alpine", "ubuntu", "system unknown", "nothing"]
    stacks = [[chance.choice(bases), *chance.choices(names, k=chance.randint(1, 6))] for _ in range(24)]
    for stack, (served, alone) in zip(stacks, both(tool, [build(stack) for stack in stacks], scratch), strict=True):
        assert normalised_report(served.report) == normalised_report(alone.report), stack
