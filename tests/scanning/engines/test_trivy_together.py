"""Images that share Trivy's runs get what a run for each alone tells; the measure is Trivy itself."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pytest

from scanning.engines.base import ImageInput
from scanning.engines.trivy import Trivy
from scanning.engines.trivy_known import KnownPackages
from scanning.engines.trivy_turn import Told, Tool, Turn, alone, together
from tests.scanning.engines.conftest import (
    ALPINE,
    APP,
    AWS_KEY_ID,
    AWS_SECRET,
    BASE,
    BOTH,
    DEBIAN,
    GITHUB_TOKEN,
    SLACK_TOKEN,
    apk,
    as_told,
    dpkg,
    never,
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
def tool(trivy: Trivy) -> Tool:
    return trivy._tool(BOTH)


@pytest.fixture
def build(tmp_path: Path) -> Callable[[Sequence[str]], ImageInput]:
    return lambda names: on_disk(tmp_path / "layers", *(LAYERS[name] for name in names))


def look(tool: Tool, images: Sequence[ImageInput], scratch: Path) -> list[Told | None]:
    turns = [Turn(image, {}, scratch, 60) for image in images]
    return together(tool, turns, KnownPackages(), key=tool.matcher().key(scratch, never), scratch=scratch, check=never)


def test_each_image_gets_what_it_would_get_alone(
    tool: Tool, build: Callable[[Sequence[str]], ImageInput], scratch: Path
) -> None:
    images = [build(names) for names in STACKS]
    shared = look(tool, images, scratch)
    for names, image, told in zip(STACKS, images, shared, strict=True):
        if told is None:
            continue
        own = alone(tool, Turn(image, {}, scratch, 60), check=never)
        assert as_told(told.report) == as_told(own.report), names
        assert told.learnt.keys() == own.learnt.keys()
        assert {key: note.secrets for key, note in told.learnt.items()} == {
            key: note.secrets for key, note in own.learnt.items()
        }, names
    by_name = dict(zip(map(tuple, STACKS), shared, strict=True))
    assert sum(told is not None for told in shared) >= len(STACKS) - 8
    # What several layers say of the system is Trivy's to put together.
    assert by_name["debian", "debian released anew", "django"] is None
    assert by_name["system unknown", "packages one by one"] is None
