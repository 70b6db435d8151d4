"""Images that share Trivy's runs get what a run for each alone tells; the measure is Trivy itself."""

from __future__ import annotations

import json
import random
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from console.sandbox import run as sandbox_run
from scanning.engines.base import EngineError, ImageInput, ImageReport
from scanning.engines.trivy import merge_layers
from scanning.engines.trivy.cached_matches import MatchCache
from scanning.engines.trivy.engine import Trivy
from scanning.engines.trivy.run import AnalysisRequest, AnalysisResult, TrivySetup, analyze_batch, analyze_image
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
    MemoryLayerCache,
    analyse,
    apk,
    diff_ids,
    dpkg,
    no_stop,
    normalised_report,
    npm_package,
    on_disk,
    python_package,
    without,
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


def look(tool: TrivySetup, images: Sequence[ImageInput], scratch: Path) -> list[AnalysisResult | None]:
    turns = [AnalysisRequest(image, {}, scratch, 60) for image in images]
    return analyze_batch(
        tool, turns, MatchCache(), key=tool.matcher().key(scratch, no_stop), scratch=scratch, check=no_stop
    )


def test_each_image_gets_what_it_would_get_alone(
    tool: TrivySetup, build: Callable[[Sequence[str]], ImageInput], scratch: Path
) -> None:
    images = [build(names) for names in STACKS]
    shared = look(tool, images, scratch)
    for names, image, told in zip(STACKS, images, shared, strict=True):
        if told is None:
            continue
        own = analyze_image(tool, AnalysisRequest(image, {}, scratch, 60), check=no_stop)
        assert normalised_report(told.report) == normalised_report(own.report), names
        assert told.new_layers.keys() == own.new_layers.keys()
        assert {key: note.secrets for key, note in told.new_layers.items()} == {
            key: note.secrets for key, note in own.new_layers.items()
        }, names
    by_name = dict(zip(map(tuple, STACKS), shared, strict=True))
    assert sum(told is not None for told in shared) >= len(STACKS) - 8
    # What several layers say of the system is Trivy's to put together.
    assert by_name["debian", "debian released anew", "django"] is None
    assert by_name["system unknown", "packages one by one"] is None


def test_any_stack_of_these_layers_gives_what_trivy_makes_of_it(
    tool: TrivySetup, build: Callable[[Sequence[str]], ImageInput], scratch: Path
) -> None:
    chance = random.Random(20261123)
    # With namesakes of two architectures it is chance which of them Trivy tells of.
    names = [name for name in LAYERS if name != "two architectures"]
    bases = ["debian", "alpine", "ubuntu", "system unknown", "nothing"]
    stacks = [[chance.choice(bases), *chance.choices(names, k=chance.randint(1, 6))] for _ in range(24)]
    images = [build(stack) for stack in stacks]
    shared = look(tool, images, scratch)
    assert sum(told is not None for told in shared) >= 12
    for stack, image, told in zip(stacks, images, shared, strict=True):
        if told and told.report:
            own = analyze_image(tool, AnalysisRequest(image, {}, scratch, 60), check=no_stop).report
            assert own
            assert normalised_report(told.report) == normalised_report(own), stack


def runs_of(make_trivy: Callable[..., Trivy]) -> tuple[Trivy, list[str]]:
    """An engine, and the runs it makes: "read" where it is given layers, else "match"."""
    runs: list[str] = []

    def run(argv: Sequence[object], **options: Any) -> sandbox_run.FinishedProcess:
        if "image" in argv:
            blobs = (options["cwd"] / "layout" / "blobs" / "sha256").iterdir()
            runs.append("read" if any(blob.stat().st_nlink > 1 for blob in blobs) else "match")
        return sandbox_run.run(argv, **options)  # type: ignore[arg-type]

    return make_trivy(run=run), runs


def at_once(
    trivy: Trivy, images: Sequence[ImageInput], scratch: Path, *, owners: Sequence[str] = ()
) -> list[ImageReport]:
    """Analyse images as the threads of a worker do that come at the same time."""
    all_here = threading.Barrier(len(images))

    def one(number: int) -> ImageReport:
        own = scratch / str(number)
        own.mkdir(exist_ok=True)
        session = trivy.session(categories=BOTH_CATEGORIES, owner=owners[number] if owners else "")
        with session.announce():
            all_here.wait(60)
            known = session.known(diff_ids(images[number]))
            return session.analyse(without(images[number], known), scratch=own, check=no_stop, timeout=60)

    with ThreadPoolExecutor(len(images)) as pool:
        return list(pool.map(one, range(len(images))))


def test_images_that_come_at_once_share_runs_and_those_whose_parts_are_known_need_none(
    make_trivy: Callable[..., Trivy], tmp_path: Path, scratch: Path
) -> None:
    trivy, runs = runs_of(make_trivy)
    tops = [
        {**python_package("requests", f"2.{number}.0"), f"srv/{number}/.env": APP["app/.env"]} for number in range(6)
    ]
    images = [on_disk(tmp_path / "layers", BASE, top) for top in tops]
    first = at_once(trivy, images, scratch)
    assert len(runs) <= 4, runs  # one to learn how Trivy names records, one to read, one to match; one more by chance
    for report, image in zip(first, images, strict=True):
        alone_ = make_trivy(memory=MemoryLayerCache())
        assert normalised_report(report) == normalised_report(analyse(alone_, image, scratch))
    runs.clear()
    assert list(map(normalised_report, at_once(trivy, images, scratch))) == list(map(normalised_report, first))
    mixed = on_disk(tmp_path / "layers", BASE, tops[0], tops[5])
    assert analyse(trivy, mixed, scratch).secrets
    assert runs == []


def test_an_image_whose_parts_are_known_waits_for_none_of_those_that_come(
    make_trivy: Callable[..., Trivy], image: ImageInput, scratch: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("scanning.engines.trivy.batch.BATCH_WAIT_SECONDS", 1000.0)
    trivy = make_trivy()
    analyse(trivy, image, scratch)
    first = analyse(trivy, image, scratch)  # its packages are known from here on
    ends = time.monotonic() + 60

    def check() -> None:
        assert time.monotonic() < ends, "it waits"

    another, session = trivy.session(categories=BOTH_CATEGORIES), trivy.session(categories=BOTH_CATEGORIES)
    with another.announce(), session.announce():
        known = session.known(diff_ids(image))
        again = session.analyse(without(image, known), scratch=scratch, check=check, timeout=60)
    assert normalised_report(again) == normalised_report(first)


def test_whether_a_system_gets_notices_is_asked_anew_after_a_while(
    make_trivy: Callable[..., Trivy], image: ImageInput, scratch: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trivy, runs = runs_of(make_trivy)
    first = analyse(trivy, image, scratch)
    assert normalised_report(analyse(trivy, image, scratch)) == normalised_report(first)
    runs.clear()
    assert normalised_report(analyse(trivy, image, scratch)) == normalised_report(first)
    assert runs == []
    monkeypatch.setattr("scanning.engines.trivy.cached_matches.SYSTEM_STALE_SECONDS", -1.0)
    assert normalised_report(analyse(trivy, image, scratch)) == normalised_report(first)
    assert runs


def test_a_layer_that_breaks_trivy_fails_its_own_image_alone(
    make_trivy: Callable[..., Trivy], tmp_path: Path, scratch: Path
) -> None:
    images = [on_disk(tmp_path / "layers", BASE, python_package("requests", f"2.{number}.0")) for number in range(3)]
    broken = images[1].layers[1]
    assert broken.path
    broken.path.write_bytes(b"\x1f\x8b\x08 no archive")
    trivy = make_trivy()

    def one(image: ImageInput, own: Path) -> ImageReport | EngineError:
        own.mkdir()
        session = trivy.session(categories=BOTH_CATEGORIES)
        with session.announce():
            all_here.wait(60)
            try:
                return session.analyse(image, scratch=own, check=no_stop, timeout=60)
            except EngineError as error:
                return error

    all_here = threading.Barrier(3)
    with ThreadPoolExecutor(3) as pool:
        told = list(pool.map(one, images, [scratch / str(number) for number in range(3)]))
    assert isinstance(told[1], EngineError)
    for number in (0, 2):
        report = told[number]
        assert isinstance(report, ImageReport)
        assert f"2.{number}.0" in {fact.version for fact in report.packages}


def test_layers_alone_are_read_and_remembered(
    make_trivy: Callable[..., Trivy], image: ImageInput, scratch: Path
) -> None:
    trivy = make_trivy()
    session = trivy.session(categories=BOTH_CATEGORIES)
    session.read(image.layers[1:], scratch=scratch, check=no_stop, timeout=60)
    assert session.known(diff_ids(image)) == {image.layers[1].diff_id}
    report = analyse(trivy, image, scratch)
    assert normalised_report(report) == normalised_report(
        analyse(make_trivy(memory=MemoryLayerCache()), image, scratch)
    )


def test_what_the_cache_says_is_checked_before_it_is_believed(
    make_trivy: Callable[..., Trivy], notes: MemoryLayerCache, image: ImageInput, scratch: Path
) -> None:
    """A record of another layer under the name of this one would be findings of another image."""
    trivy = make_trivy()
    analyse(trivy, image, scratch)
    (variant, base), (_variant, top) = notes.kept
    notes.kept[variant, top] = notes.kept[variant, base]
    with pytest.raises(EngineError):
        analyse(trivy, image, scratch)


def test_records_of_layers_are_parsed_once_while_there_is_room(monkeypatch: pytest.MonkeyPatch) -> None:
    parsed = merge_layers._ParsedRecordCache()
    base, large = b'{"DiffID": "sha256:1"}', b'{"x": "' + b"x" * 600 + b'"}'
    monkeypatch.setattr(merge_layers, "PARSED_CACHE_BYTES", 1000)
    assert parsed.of(base) == {"DiffID": "sha256:1"}
    assert parsed.of(bytes(bytearray(base))) is parsed.of(base)
    assert parsed.of(large) is not parsed.of(large), "one that takes more than half of the room is not kept"
    others = [b'{"y": "' + b"%d" % number * 40 + b'"}' for number in range(40)]
    for other in others:
        parsed.of(other)
    assert sum(map(len, parsed._kept)) == parsed._bytes <= 1000
    assert base not in parsed._kept
    with pytest.raises(ValueError, match="Expecting"):
        parsed.of(b"{")


def test_images_of_two_owners_share_no_run(make_trivy: Callable[..., Trivy], tmp_path: Path, scratch: Path) -> None:
    read: list[set[str]] = []  # the layers that are given to each run

    def run(argv: Sequence[object], **options: Any) -> sandbox_run.FinishedProcess:
        if "image" in argv:
            blobs = (options["cwd"] / "layout" / "blobs" / "sha256").iterdir()
            read.append({f"sha256:{blob.name}" for blob in blobs if blob.stat().st_nlink > 1})
        return sandbox_run.run(argv, **options)  # type: ignore[arg-type]

    trivy = make_trivy(run=run)
    tops = [{**BASE, **python_package("requests", f"2.{number}.0")} for number in range(6)]
    images = [on_disk(tmp_path / "layers", top) for top in tops]
    owners = ["1", "2"] * 3
    at_once(trivy, images, scratch, owners=owners)
    of = {diff_ids(image)[0]: owner for image, owner in zip(images, owners, strict=True)}
    together = [layers & of.keys() for layers in read]  # without the empty one of a run that only matches
    assert set().union(*together) == of.keys()
    assert any(len(layers) > 1 for layers in together), "some do share one"
    for layers in together:
        assert len({of[diff_id] for diff_id in layers}) <= 1, "of two owners"
