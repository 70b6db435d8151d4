from __future__ import annotations

import dataclasses
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from demo.advisories import ADVISORIES
from demo.vulndb_build import build_demo_vulndb
from scanning.engines.base import EngineError, ImageInput, RiskCategory
from scanning.engines.trivy.engine import LayersMissing, Trivy
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
    without,
)


def test_layers_that_are_known_need_not_be_pulled_and_nothing_is_lost(
    trivy: Trivy, image: ImageInput, scratch: Path
) -> None:
    first = analyse(trivy, image, scratch)
    for layer in image.layers:
        assert layer.path
        layer.path.unlink()
    assert normalised_report(analyse(trivy, image, scratch)) == normalised_report(first)


def test_what_is_known_for_one_category_is_not_known_for_another(
    trivy: Trivy, image: ImageInput, scratch: Path
) -> None:
    analyse(trivy, image, scratch, {RiskCategory.VULNERABILITIES})
    assert trivy.session(categories=BOTH_CATEGORIES).known(diff_ids(image)) == frozenset()


def test_what_is_known_with_one_key_is_not_known_with_another(
    make_trivy: Callable[..., Trivy], image: ImageInput, scratch: Path
) -> None:
    before = analyse(make_trivy(), image, scratch)
    after = analyse(make_trivy(fingerprint_key=b"another"), image, scratch)
    assert before.secrets[0].fingerprint != after.secrets[0].fingerprint
    assert before.secrets[0].masked == after.secrets[0].masked


def test_a_note_that_is_lost_between_two_looks_is_asked_for(
    trivy: Trivy, notes: MemoryLayerCache, image: ImageInput, scratch: Path
) -> None:
    first = analyse(trivy, image, scratch)
    session = trivy.session(categories=BOTH_CATEGORIES)
    known = session.known(diff_ids(image))
    notes.kept.clear()
    with pytest.raises(LayersMissing) as caught:
        session.analyse(without(image, known), scratch=scratch, check=no_stop, timeout=60)
    assert caught.value.diff_ids == set(diff_ids(image))
    assert caught.value.retry
    assert normalised_report(analyse(trivy, image, scratch)) == normalised_report(first)


@pytest.mark.parametrize("damage", [b"", b"{}", b"nonsense", b"[1]"])
def test_a_note_that_is_damaged_is_never_a_zero_and_the_layer_is_read_again(
    trivy: Trivy, notes: MemoryLayerCache, image: ImageInput, scratch: Path, damage: bytes
) -> None:
    first = analyse(trivy, image, scratch)
    notes.kept = {key: dataclasses.replace(note, record=damage) for key, note in notes.kept.items()}
    with pytest.raises(EngineError) as caught:
        analyse(trivy, image, scratch)
    assert caught.value.retry
    assert normalised_report(analyse(trivy, image, scratch)) == normalised_report(first)


def test_a_note_under_a_name_that_trivy_does_not_know_is_not_taken_by_a_run_for_the_image(
    make_trivy: Callable[..., Trivy], notes: MemoryLayerCache, image: ImageInput, scratch: Path
) -> None:
    trivy = make_trivy(server=None)
    first = analyse(trivy, image, scratch)
    notes.kept = {key: dataclasses.replace(note, key=f"sha256:{0:064x}") for key, note in notes.kept.items()}
    with pytest.raises(LayersMissing):
        analyse(trivy, image, scratch)
    assert normalised_report(analyse(trivy, image, scratch)) == normalised_report(first)


def test_a_secret_that_a_layer_hides_is_shown_in_the_image_that_does_not_hide_it(
    trivy: Trivy, image: ImageInput, tmp_path: Path, scratch: Path
) -> None:
    hidden = on_disk(tmp_path / "hidden", BASE, APP, {"app/.wh..env": ""})
    assert analyse(trivy, hidden, scratch).secrets != ()
    covered = on_disk(tmp_path / "covered", BASE, APP, {"app/.env": "nothing\n"})
    analyse(trivy, covered, scratch)
    for layer in image.layers:
        assert layer.path
        layer.path.unlink()
    assert [fact.rule for fact in analyse(trivy, image, scratch).secrets] == ["github-pat"]


def test_four_at_once_do_not_get_in_each_others_way(trivy: Trivy, tmp_path: Path) -> None:
    results: list[object] = []

    def work(number: int) -> None:
        scratch = tmp_path / f"scratch-{number}"
        scratch.mkdir()
        image = on_disk(tmp_path / f"layers-{number}", BASE, {"n": str(number)})
        try:
            results.extend(len(analyse(trivy, image, scratch).packages) for _ in range(2))
        except EngineError as error:
            results.append(error.reason)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [2] * 8


def test_what_one_worker_has_learnt_every_other_knows(
    make_trivy: Callable[..., Trivy], tmp_path: Path, scratch: Path
) -> None:
    one, other = on_disk(tmp_path / "one", BASE, {"a": "1"}), on_disk(tmp_path / "two", BASE, {"b": "2"})
    analyse(make_trivy(), one, scratch)
    elsewhere = make_trivy(home=tmp_path / "another machine")
    assert elsewhere.session(categories=BOTH_CATEGORIES).known(diff_ids(other)) == {diff_ids(other)[0]}
    assert len(analyse(elsewhere, other, scratch).packages) == 2


def test_a_database_that_is_swapped_is_used_from_the_next_session_on(
    make_trivy: Callable[..., Trivy], demo_database: Path, tmp_path: Path, image: ImageInput, scratch: Path
) -> None:
    empty = build_demo_vulndb(tmp_path / "empty", ADVISORIES[:1])
    link = tmp_path / "current"
    link.symlink_to(demo_database)
    trivy = make_trivy(database=link)
    session = trivy.session(categories=BOTH_CATEGORIES)
    (tmp_path / "new").symlink_to(empty)
    (tmp_path / "new").rename(link)
    assert session.database
    assert session.database.folder == demo_database
    report = session.analyse(image, scratch=scratch, check=no_stop, timeout=60)
    assert len({match.vulnerability for match in report.matches}) > 5
    assert {match.vulnerability for match in analyse(trivy, image, scratch).matches} == {ADVISORIES[0].id}
