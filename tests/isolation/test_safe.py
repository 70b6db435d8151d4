"""An image is safe where everything was looked for in everything: from registries over HTTP, with a real Trivy.

Each image here has no finding. Most of them lack something that would be needed to say that there is none.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import tarfile
from collections.abc import Mapping

import pytest

from console.jobs.models import State
from inventory.models import Image, Tag
from registries.models import Registry
from scanning.models import CategoryResult
from tests.fakes import images, rpmdb
from tests.fakes.registry import FakeRegistry
from tests.scanning.conftest import fake, image_of, registry, scan, sync, vulnerability_database

__all__ = ["fake", "registry", "vulnerability_database"]  # fixtures

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("vulnerability_database")]

OUTCOMES = CategoryResult.Outcome
Files = Mapping[str, bytes | tuple[bytes, str]]  # contents, or type and target of what is no file

NAMES = ("hello", "base-files", "sed", "grep", "tar")
STATUS = "".join(
    f"Package: {name}\nStatus: install ok installed\nMaintainer: nobody\nArchitecture: amd64\nVersion: 99.1-1\n"
    f"Description: {name} of this test\n\n"
    for name in NAMES
).encode()
APK = "".join(f"C:Q1aaaa=\nP:{name}\nV:99.1-r0\nA:x86_64\nT:{name}\nL:MIT\no:{name}\n\n" for name in NAMES).encode()
GARBAGE = hashlib.shake_256(b"garbage").digest(8000)
DPKG, INSTALLED = "var/lib/dpkg/status", "lib/apk/db/installed"
DEBIAN: Files = {
    "etc/os-release": b'ID=debian\nVERSION_ID="12"\n',
    "etc/debian_version": b"12.6\n",
    "var/lib/dpkg/info/hello.list": b"/.\n/usr/bin/hello\n",
    "usr/bin/hello": b"#!/bin/sh\n",
}
ALPINE: Files = {"etc/os-release": b"ID=alpine\nVERSION_ID=3.18.0\n", "etc/alpine-release": b"3.18.0\n"}
ALMA: Files = {
    "etc/os-release": b'NAME="AlmaLinux"\nID="almalinux"\nVERSION_ID="9.4"\n',
    "etc/almalinux-release": b"AlmaLinux release 9.4 (Seafoam Ocelot)\n",
    "etc/redhat-release": b"AlmaLinux release 9.4 (Seafoam Ocelot)\n",
}
RPMS = [("hello", "99.1", "1.el9"), ("sed", "99.1", "1.el9"), ("tar", "99.1", "1.el9")]
SQLITE, NDB, BERKELEY = rpmdb.sqlite(RPMS), rpmdb.ndb(RPMS), rpmdb.berkeley(RPMS)
LINK, FOLDER, HIDDEN = (tarfile.SYMTYPE, "/nowhere"), (tarfile.DIRTYPE, ""), b""


def layer(files: Files) -> images.Layer:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for path, content in files.items():
            member = tarfile.TarInfo(path)
            if isinstance(content, tuple):
                member.type, member.linkname = content
                archive.addfile(member)
            else:
                member.size = len(content)
                archive.addfile(member, io.BytesIO(content))
    data = out.getvalue()
    return images.Layer(data, gzip.compress(data, mtime=0), images.OCI_LAYER + "+gzip")


def put(fake: FakeRegistry, *layers: Files, name: str = "team/app") -> images.Image:
    image = images.image(*(layer(files) for files in layers))
    image.put(fake, name, "1.0")
    return image


def result(category: str) -> CategoryResult:
    return CategoryResult.objects.get(category=category)


WHOLE: dict[str, tuple[Files, ...]] = {
    "dpkg": ({**DEBIAN, DPKG: STATUS},),
    "dpkg in two layers": ({**DEBIAN, DPKG: STATUS[: len(STATUS) // 5]}, {DPKG: STATUS}),
    "distroless, a file for each package": (
        {**DEBIAN, "var/lib/dpkg/status.d/hello": b"Package: hello\nVersion: 99.1-1\nArchitecture: amd64"},
    ),
    "distroless with an empty list": (
        {**DEBIAN, "var/lib/dpkg/status.d/hello": STATUS[: STATUS.index(b"\n\n") + 1], DPKG: b""},
    ),
    "a removed package at the end": (
        {**DEBIAN, DPKG: STATUS + b"Package: gone\nStatus: install ok not-installed\nPriority: optional\n\n"},
    ),
    "an rpm tool without packages on Debian": (
        {**DEBIAN, DPKG: STATUS, "var/lib/rpm/rpmdb.sqlite": b"", "var/lib/rpm/Packages": LINK},
    ),
}
DAMAGED: dict[str, tuple[tuple[Files, ...], str]] = {  # → what the reason says
    "dpkg deleted": (({**DEBIAN, DPKG: STATUS}, {"var/lib/dpkg/.wh.status": HIDDEN}), "is missing"),
    "dpkg folder deleted": (({**DEBIAN, DPKG: STATUS}, {"var/lib/.wh.dpkg": HIDDEN}), "is missing"),
    "dpkg folder made anew": (({**DEBIAN, DPKG: STATUS}, {"var/lib/dpkg/.wh..wh..opq": HIDDEN}), "is missing"),
    "dpkg never there": ((DEBIAN,), "is missing"),
    "dpkg emptied": (({**DEBIAN, DPKG: b""},), f"/{DPKG} is empty"),
    "dpkg blank": (({**DEBIAN, DPKG: b"\n\n"},), f"/{DPKG} is empty"),
    "dpkg cut off": (({**DEBIAN, DPKG: STATUS[:-90]},), f"/{DPKG} is cut off"),
    "dpkg cut off at a line": (({**DEBIAN, DPKG: STATUS[: STATUS.rindex(b"Arch")]},), f"/{DPKG} is cut off"),
    "dpkg cut off in a layer above": (({**DEBIAN, DPKG: STATUS}, {DPKG: STATUS[:-90]}), f"/{DPKG} is cut off"),
    "dpkg damaged": (({**DEBIAN, DPKG: GARBAGE},), f"/{DPKG} is damaged"),
    "dpkg damaged in its middle": (({**DEBIAN, DPKG: STATUS[:300] + GARBAGE + STATUS[300:]},), f"/{DPKG} is damaged"),
    "dpkg a link": (({**DEBIAN, DPKG: LINK, "opt/status": STATUS},), f"/{DPKG} is a link or a folder"),
    "dpkg a folder": (({**DEBIAN, DPKG: FOLDER},), f"/{DPKG} is a link or a folder"),
    "a file of distroless damaged": (
        ({**DEBIAN, DPKG: STATUS, "var/lib/dpkg/status.d/hello": GARBAGE},),
        "could not read the packages in /var/lib/dpkg/status.d/hello",
    ),
    "apk deleted": (({**ALPINE, INSTALLED: APK}, {"lib/apk/db/.wh.installed": HIDDEN}), "is missing"),
    "apk emptied": (({**ALPINE, INSTALLED: b""},), f"/{INSTALLED} is empty"),
    "apk cut off": (({**ALPINE, INSTALLED: APK[:-40]},), f"/{INSTALLED} is cut off"),
    "apk damaged": (({**ALPINE, INSTALLED: GARBAGE},), f"/{INSTALLED} is damaged"),
    "apk a link": (({**ALPINE, INSTALLED: LINK},), f"/{INSTALLED} is a link or a folder"),
    "rpm deleted": (
        ({**ALMA, "var/lib/rpm/rpmdb.sqlite": SQLITE}, {"var/lib/rpm/.wh.rpmdb.sqlite": HIDDEN}),
        "is missing",
    ),
    "rpm emptied": (({**ALMA, "var/lib/rpm/rpmdb.sqlite": b""},), "/var/lib/rpm/rpmdb.sqlite is empty"),
    "SQLite cut off": (({**ALMA, "var/lib/rpm/rpmdb.sqlite": SQLITE[:-5000]},), "rpmdb.sqlite is cut off"),
    "SQLite damaged": (({**ALMA, "var/lib/rpm/rpmdb.sqlite": GARBAGE},), "rpmdb.sqlite is damaged"),
    "SQLite whole with damaged rows": (
        ({**ALMA, "var/lib/rpm/rpmdb.sqlite": SQLITE[:4096] + GARBAGE[:4096] + SQLITE[8192:]},),
        "No packages could be read from the package database /var/lib/rpm/rpmdb.sqlite",
    ),
    "ndb cut off": (({**ALMA, "usr/lib/sysimage/rpm/Packages.db": NDB[:-300]},), "Packages.db is cut off"),
    "ndb damaged": (({**ALMA, "usr/lib/sysimage/rpm/Packages.db": GARBAGE},), "Packages.db is damaged"),
    "Berkeley DB cut off": (({**ALMA, "var/lib/rpm/Packages": BERKELEY[:-4096]},), "Packages is cut off"),
    "Berkeley DB damaged": (({**ALMA, "var/lib/rpm/Packages": GARBAGE},), "Packages is damaged"),
    "rpm a folder": (({**ALMA, "var/lib/rpm/Packages": FOLDER},), "Packages is a link or a folder"),
    "release file deleted": (
        ({**DEBIAN, DPKG: STATUS}, {"etc/.wh.os-release": HIDDEN, "etc/.wh.debian_version": HIDDEN}),
        "",
    ),
}


@pytest.mark.parametrize("kind", WHOLE)
def test_an_image_with_whole_package_databases_and_nothing_in_it_is_safe(
    fake: FakeRegistry, registry: Registry, kind: str
) -> None:
    put(fake, *WHOLE[kind])
    sync(registry)
    ended = scan(Tag.objects.get())
    assert (ended.state, ended.reason) == (State.SUCCEEDED, "")
    assert [(each.category, each.outcome, each.reason) for each in CategoryResult.objects.order_by("category")] == [
        ("malware", OUTCOMES.DONE, ""),
        ("sensitive", OUTCOMES.DONE, ""),
        ("vulnerabilities", OUTCOMES.DONE, ""),
    ]
    image = image_of(Tag.objects.get())
    assert (image.vulnerabilities, image.malware, image.sensitive) == (0, 0, 0)
    assert image.packages
    assert image.security == Image.Security.SAFE


@pytest.mark.parametrize("kind", DAMAGED)
def test_an_image_whose_package_database_cannot_be_read_is_partly_scanned_and_says_why(
    fake: FakeRegistry, registry: Registry, kind: str
) -> None:
    layers, says = DAMAGED[kind]
    put(fake, *layers)
    sync(registry)
    for _again in range(2):  # the second time by what is known of the layers
        scan(Tag.objects.get())
        matched = result("vulnerabilities")
        assert matched.outcome in (OUTCOMES.PARTIAL, OUTCOMES.UNSUPPORTED), matched.reason
        assert says in matched.reason
        assert matched.remedy
        assert {result(name).outcome for name in ("malware", "sensitive")} == {OUTCOMES.DONE}
        image = image_of(Tag.objects.get())
        assert image.vulnerabilities == 0
        assert image.security == Image.Security.PARTLY_SCANNED
