"""Malware in an archive of any kind, from the registry to the image's result: found, or partly scanned with its path.

Never "done, 0 found". What each reader does in detail is in tests/scanning/engines/formats/test_archives.py.
"""

from __future__ import annotations

import pytest

from console.jobs.models import State
from registries.models import Registry
from scanning.engines.skipped_content import MAX_EXAMPLES_PER_REASON
from scanning.models import CategoryResult, MalwareFinding
from tests.fakes import images
from tests.fakes.registry import FakeRegistry
from tests.scanning.archive_samples import ODD_SAMPLE_REASONS, OPENED_SAMPLES, REFUSED_SAMPLES
from tests.scanning.conftest import fake, registry, scan, sync, vulnerability_database
from tests.scanning.execution.test_pipeline import only_tag
from tests.scanning.layer import EICAR

__all__ = ["fake", "registry", "vulnerability_database"]

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("vulnerability_database")]

# each alone in an image, since each of them was passed over as "done, 0 found" once
ONCE_PASSED_OVER = [
    "zip behind a script",
    "zip behind MZ",
    "zip, spanned, of one piece",
    "jar member that claims to be a link",
    "jar member that ends in a slash",
    "gzip of a v7 tar",
    "lzma",
]


def scanned(fake: FakeRegistry, registry: Registry, files: dict[str, bytes]) -> CategoryResult:
    images.image({"etc/hostname": b"x"}, files).put(fake, "team/app", "1.0")
    sync(registry)
    ended = scan(only_tag(), "malware")
    assert (ended.state, ended.reason) == (State.SUCCEEDED, "")
    return CategoryResult.objects.get(category="malware")


@pytest.mark.parametrize("kind", ONCE_PASSED_OVER)
def test_malware_is_found_in_what_runtimes_open(fake: FakeRegistry, registry: Registry, kind: str) -> None:
    name, build, path = OPENED_SAMPLES[kind]
    scanned(fake, registry, {f"srv/{name}": build(EICAR)})
    assert f"srv/{path}" in MalwareFinding.objects.values_list("path", flat=True)


def test_malware_is_found_in_every_kind_of_archive_that_is_opened(fake: FakeRegistry, registry: Registry) -> None:
    files = {f"{number}/{name}": build(EICAR) for number, (name, build, _path) in enumerate(OPENED_SAMPLES.values())}
    scanned(fake, registry, files)
    found = set(MalwareFinding.objects.values_list("path", flat=True))
    kinds = enumerate(OPENED_SAMPLES.items())
    assert [kind for number, (kind, (_name, _build, path)) in kinds if f"{number}/{path}" not in found] == []


def test_every_kind_that_is_not_opened_is_named_and_makes_the_result_partial(
    fake: FakeRegistry, registry: Registry
) -> None:
    files = {f"{number}/{name}": build(EICAR) for number, (name, build, _words) in enumerate(REFUSED_SAMPLES.values())}
    result = scanned(fake, registry, files)
    assert (result.outcome, bool(result.remedy)) == ("partial", True)
    kinds = enumerate(REFUSED_SAMPLES.items())
    silent = [
        kind
        for number, (kind, (name, _build, words)) in kinds
        if not any(words in line and f"{number}/{name}" in line for line in result.reason.split("; "))
    ]
    assert silent == []


def test_several_files_for_one_reason_are_counted_and_the_first_are_named(
    fake: FakeRegistry, registry: Registry
) -> None:
    name, build, words = REFUSED_SAMPLES["7z"]
    result = scanned(fake, registry, {f"{number}/{name}": build(EICAR) for number in range(7)})
    assert f"7 files {words}" in result.reason
    assert [number for number in range(7) if f"{number}/{name}" in result.reason] == list(
        range(MAX_EXAMPLES_PER_REASON)
    )


def test_an_image_of_sound_archives_is_done(fake: FakeRegistry, registry: Registry) -> None:
    sound = [OPENED_SAMPLES[kind] for kind in OPENED_SAMPLES if kind not in ODD_SAMPLE_REASONS]
    files = {f"{number}/{name}": build(b"good") for number, (name, build, _path) in enumerate(sound)}
    result = scanned(fake, registry, files)
    assert (result.outcome, result.reason) == ("done", "")
    assert not MalwareFinding.objects.exists()
