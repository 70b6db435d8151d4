from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from scanning.demo.advisories import ADVISORIES
from scanning.demo.database import build_demo_database
from scanning.engines.base import EngineError, ImageInput, RiskCategory
from scanning.engines.trivy import LayersMissing, Trivy
from tests.scanning.engines.conftest import (
    BASE,
    BOTH,
    analyse,
    diff_ids,
    never,
    on_disk,
)


def test_layers_that_are_known_need_not_be_pulled_and_nothing_is_lost(
    trivy: Trivy, image: ImageInput, scratch: Path
) -> None:
    first = analyse(trivy, image, scratch)
    for layer in image.layers:
        assert layer.path
        layer.path.unlink()
    assert analyse(trivy, image, scratch) == first


def test_what_is_known_for_one_category_is_not_known_for_another(
    trivy: Trivy, image: ImageInput, scratch: Path
) -> None:
    analyse(trivy, image, scratch, {RiskCategory.VULNERABILITIES})
    with trivy.session(never, diff_ids=diff_ids(image), categories=BOTH) as session:
        assert session.known(diff_ids(image), BOTH) == frozenset()


def test_what_is_known_with_one_key_is_not_known_with_another(
    make_trivy: Callable[..., Trivy], image: ImageInput, scratch: Path
) -> None:
    before = analyse(make_trivy(), image, scratch)
    after = analyse(make_trivy(fingerprint_key=b"another"), image, scratch)
    assert before.secrets[0].fingerprint != after.secrets[0].fingerprint
    assert before.secrets[0].masked == after.secrets[0].masked


def test_a_cache_that_has_lost_its_layers_asks_for_them(
    trivy: Trivy, image: ImageInput, tmp_path: Path, scratch: Path
) -> None:
    first = analyse(trivy, image, scratch)
    (tmp_path / "cache" / "slot-0" / "trivy" / "fanal" / "fanal.db").unlink()
    with pytest.raises(LayersMissing) as caught:
        analyse(trivy, image, scratch)
    assert caught.value.diff_ids <= set(diff_ids(image))
    assert caught.value.retry
    assert analyse(trivy, image, scratch) == first


def test_a_note_that_is_damaged_makes_the_layer_unknown(
    trivy: Trivy, image: ImageInput, tmp_path: Path, scratch: Path
) -> None:
    first = analyse(trivy, image, scratch)
    for note in (tmp_path / "cache").rglob("known/**/*.json"):
        note.write_text("{")
    with pytest.raises(LayersMissing):
        analyse(trivy, image, scratch)
    assert analyse(trivy, image, scratch) == first


@pytest.mark.parametrize("damage", [b"", b"nonsense" * 5000, None], ids=["empty", "overwritten", "cut off"])
def test_a_damaged_cache_is_emptied_and_the_next_scan_works(
    trivy: Trivy, image: ImageInput, tmp_path: Path, scratch: Path, damage: bytes | None
) -> None:
    first = analyse(trivy, image, scratch)
    cache = tmp_path / "cache" / "slot-0" / "trivy" / "fanal" / "fanal.db"
    cache.write_bytes(cache.read_bytes()[:20_000] if damage is None else damage)
    with contextlib.suppress(EngineError):  # what is cut off may be what was free
        analyse(trivy, image, scratch)
    assert analyse(trivy, image, scratch) == first


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


def test_a_worker_takes_the_cache_that_knows_most(trivy: Trivy, tmp_path: Path, scratch: Path) -> None:
    one, other = on_disk(tmp_path / "one", BASE, {"a": "1"}), on_disk(tmp_path / "two", {"b": "2"}, {"c": "3"})
    with trivy.session(never, diff_ids=[], categories=BOTH) as first:
        first.analyse(one, BOTH, scratch=scratch, check=never, timeout=60)
        with trivy.session(never, diff_ids=[], categories=BOTH) as second:
            assert second.known(diff_ids(one), BOTH) == frozenset()
            second.analyse(other, BOTH, scratch=scratch, check=never, timeout=60)
    for image in (one, other, one):
        with trivy.session(never, diff_ids=diff_ids(image), categories=BOTH) as session:
            assert session.known(diff_ids(image), BOTH) == set(diff_ids(image))


def test_a_database_that_is_swapped_is_used_from_the_next_session_on(
    make_trivy: Callable[..., Trivy], demo_database: Path, tmp_path: Path, image: ImageInput, scratch: Path
) -> None:
    empty = build_demo_database(tmp_path / "empty", ADVISORIES[:1])
    link = tmp_path / "current"
    link.symlink_to(demo_database)
    trivy = make_trivy(database=link)
    with trivy.session(never, diff_ids=[], categories=BOTH) as session:
        (tmp_path / "new").symlink_to(empty)
        (tmp_path / "new").rename(link)
        assert session.database
        assert session.database.folder == demo_database
        report = session.analyse(image, BOTH, scratch=scratch, check=never, timeout=60)
    assert len({match.vulnerability for match in report.matches}) > 5
    assert {match.vulnerability for match in analyse(trivy, image, scratch).matches} == {ADVISORIES[0].id}
