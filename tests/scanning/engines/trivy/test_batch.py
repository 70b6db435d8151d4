"""Images whose layers are read in one run get what a run for each alone tells, and images of two owners share none."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from console.sandbox import run as sandbox_run
from scanning.engines.base import EngineError, ImageInput, ImageReport
from scanning.engines.trivy.engine import Trivy
from tests.scanning.engines.conftest import (
    APP,
    BASE,
    BOTH_CATEGORIES,
    MemoryLayerCache,
    analyse,
    diff_ids,
    no_stop,
    normalised_report,
    on_disk,
    python_package,
    without,
)


def runs_of(make_trivy: Callable[..., Trivy]) -> tuple[Trivy, list[str]]:
    """An engine, and the runs it makes: "read" where it is given layers, else "match" (an image without its server)."""
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
    assert runs in (["read"], ["read"] * 2), runs  # a second one by chance
    for report, image in zip(first, images, strict=True):
        alone_ = make_trivy(memory=MemoryLayerCache(), server=None)
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
    first = analyse(trivy, image, scratch)
    ends = time.monotonic() + 60

    def check() -> None:
        assert time.monotonic() < ends, "it waits"

    another, session = trivy.session(categories=BOTH_CATEGORIES), trivy.session(categories=BOTH_CATEGORIES)
    with another.announce(), session.announce():
        known = session.known(diff_ids(image))
        again = session.analyse(without(image, known), scratch=scratch, check=check, timeout=60)
    assert normalised_report(again) == normalised_report(first)


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


def test_a_layer_that_other_images_have_too_is_read_by_itself_and_is_good_for_all(
    make_trivy: Callable[..., Trivy], tmp_path: Path, scratch: Path
) -> None:
    trivy, runs = runs_of(make_trivy)
    tops = [python_package("requests", f"2.{number}.0") for number in range(4)]
    images = [on_disk(tmp_path / "layers", BASE, top) for top in tops]
    base = images[0].layers[0].diff_id
    images = [
        replace(image, layers=[replace(image.layers[0], sharers="others"), *image.layers[1:]]) for image in images
    ]
    analyse_first, *rest = images
    at_once(trivy, [analyse_first], scratch, owners=["1"])
    assert runs == ["read", "read"], "one for the base alone"
    at_once(trivy, rest, scratch, owners=["1"] * 3)
    for owner in ("", "1", "2"):
        assert trivy.session(categories=BOTH_CATEGORIES, owner=owner).known([base]) == {base}


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
