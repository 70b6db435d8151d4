from __future__ import annotations

import contextlib
import gzip
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from console.sandbox import run as sandbox_run
from scanning.engines.base import EngineError, ImageInput
from scanning.engines.trivy.command import trivy_environment
from scanning.engines.trivy.engine import LayersMissing, Trivy
from tests.fakes import images
from tests.scanning.engines.conftest import (
    APP,
    BASE,
    BOTH_CATEGORIES,
    analyse,
    no_stop,
    on_disk,
    stored,
    without,
)

SAYING = "{{ {}\n}} > $HOME/seen; touch $HOME/done; sleep 100"


def valid_report() -> str:
    return json.dumps({"SchemaVersion": 2, "Metadata": {"OS": {"Family": "debian", "Name": "12"}}, "Results": []})


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        ("exit 0", "cannot be read"),
        ('echo \'{"SchemaVersion": 2, "Results": [{\'', "cannot be read"),
        ("echo '[]'", "unexpected form"),
        ("echo '{\"SchemaVersion\": 3}'", "unexpected form"),
        ('echo \'{"SchemaVersion": 2, "Results": [{"Target": 1, "Class": "secret"}]}\'', "cannot be read"),
        ("head -c 70000000 /dev/zero", "more than 64 MiB"),
        (f"echo '{valid_report()}'; echo '2026 FATAL Fatal error it broke' >&2; exit 1", "it broke"),
        ("echo '2026 FATAL write /x: no space left on device' >&2; exit 1", "disk is full"),
        ("kill -SEGV $$", "signal 11"),
        ("echo panic >&2; exit 2", "ended abnormally"),
    ],
    ids=[
        "empty",
        "half",
        "list",
        "schema",
        "wrong type",
        "endless",
        "failed with a report",
        "full disk",
        "crash",
        "panic",
    ],
)
def test_an_engine_that_writes_rubbish_is_an_error_with_a_remedy(
    fake_trivy: Callable[[str], Trivy], image: ImageInput, scratch: Path, script: str, reason: str
) -> None:
    with pytest.raises(EngineError) as caught:
        analyse(fake_trivy(script), image, scratch)
    assert reason in caught.value.reason
    assert caught.value.remedy
    assert list(scratch.iterdir()) == []


def test_an_engine_that_hangs_is_ended(fake_trivy: Callable[[str], Trivy], image: ImageInput, scratch: Path) -> None:
    with pytest.raises(EngineError, match="stopped after 1 seconds"):
        analyse(fake_trivy("sleep 100"), image, scratch, timeout=1)
    assert list(scratch.iterdir()) == []


def test_a_cancel_ends_the_engine(fake_trivy: Callable[[str], Trivy], image: ImageInput, scratch: Path) -> None:
    class Cancelled(Exception):
        pass

    started = scratch / "trivy" / "own" / "started"

    def check() -> None:
        if started.exists():
            raise Cancelled

    with pytest.raises(Cancelled):
        analyse(fake_trivy("touch $HOME/started; sleep 100"), image, scratch, check=check)
    assert list(scratch.iterdir()) == []


def test_the_engine_gets_nothing_of_our_environment_and_a_home_of_its_own(
    fake_trivy: Callable[[str], Trivy], image: ImageInput, scratch: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TALLYMAN_SECRET_KEY", "do not tell")
    seen = said(fake_trivy(SAYING.format("env; pwd")), image, scratch)
    names = {line.split("=")[0] for line in seen.splitlines() if "=" in line}
    assert names <= {*trivy_environment(scratch), "PWD", "SHLVL", "_"}
    assert f"HOME={scratch}/trivy/own" in seen
    assert "127.0.0.1:9" in seen


@pytest.mark.skipif(not sandbox_run.sandbox_support().files, reason="this kernel has no Landlock")
def test_the_engine_writes_to_no_layer_and_reads_no_key(
    fake_trivy: Callable[[str], Trivy], image: ImageInput, scratch: Path
) -> None:
    key = scratch.parent / "secret-key"
    key.write_text("planted")
    before = [layer.path.read_bytes() for layer in image.layers if layer.path]
    seen = said(
        fake_trivy(
            SAYING.format(f"""
            tried() {{ "$@" 2>/dev/null && echo "did $*" || echo "denied $*"; }}
            tried cat {key}
            tried ls {key.parent}
            tried touch {key.parent}/new
            tried rm {key}
            for layer in layout/blobs/sha256/*; do
                tried dd if=/dev/zero of=$layer count=1 conv=notrunc
                tried mv $layer $HOME/moved
                tried rm $layer
            done
            tried dd if=/dev/zero of=cache/db/trivy.db count=1 conv=notrunc
            tried touch layout/new
            tried touch cache/fanal/new
            tried grep -q schemaVersion layout/index.json
        """)
        ),
        image,
        scratch,
    )
    done = [line.split()[1:] for line in seen.splitlines() if line.startswith("did ")]
    assert done == [["touch", "cache/fanal/new"], ["grep", "-q", "schemaVersion", "layout/index.json"]]
    assert seen.count("denied ") == 6 + 3 * (len(image.layers) + 2), "config and manifest lie there, too"
    assert [layer.path.read_bytes() for layer in image.layers if layer.path] == before
    assert key.read_text() == "planted"


class Seen(Exception):
    """Ends an engine that has said what it has to say."""


def said(trivy: Trivy, image: ImageInput, scratch: Path) -> str:
    """What the script of a fake engine says, taken from its folder before that is gone."""
    found: list[str] = []

    def check() -> None:
        if (own := scratch / "trivy" / "own").joinpath("done").exists():
            found.append(own.joinpath("seen").read_text())
            raise Seen

    with pytest.raises(Seen):
        analyse(trivy, image, scratch, check=check)
    return found[0]


def test_trivy_asks_nobody(make_trivy: Callable[..., Trivy], image: ImageInput, scratch: Path) -> None:
    """Its flags forbid the network: the proxy that stands in for the rest of the world hears nothing."""
    calls: list[Sequence[str | Path]] = []

    def spy(argv: Sequence[str | Path], **options: Any) -> sandbox_run.FinishedProcess:
        calls.append(argv)
        return sandbox_run.run(argv, **options)

    analyse(make_trivy(run=spy), image, scratch)
    (words,) = ([str(word) for word in argv] for argv in calls if "image" in argv)
    assert {"--skip-db-update", "--skip-java-db-update", "--offline-scan", "--disable-telemetry"} <= set(words)
    assert "--skip-version-check" in words
    of_image = [layer.diff_id.partition(":")[2] for layer in image.layers]
    assert not [word for word in words if any(name in word for name in of_image)], "nothing of an image is a word"


def test_files_in_the_image_cannot_change_how_trivy_looks(trivy: Trivy, tmp_path: Path, scratch: Path) -> None:
    rules = {
        "trivy-secret.yaml": "disable-rules:\n- github-pat\n",
        ".trivyignore": "CVE-2024-5535\n",
        "trivy.yaml": "x: y\n",
    }
    report = analyse(trivy, on_disk(tmp_path / "layers", {**BASE, **APP, **rules}), scratch)
    assert [fact.rule for fact in report.secrets] == ["github-pat"]
    assert "CVE-2024-5535" in {match.vulnerability for match in report.matches}


@pytest.mark.parametrize(
    ("config", "reason"),
    [
        (b"nonsense", "cannot be read"),
        (b'{"rootfs": 5}', "cannot be read"),
        (b'{"rootfs": {"diff_ids": []}}', "other layers"),
        (b"[" * 100_000, "cannot be read"),
    ],
)
def test_a_config_that_does_not_fit_its_layers_is_refused(
    trivy: Trivy, image: ImageInput, scratch: Path, config: bytes, reason: str
) -> None:
    with pytest.raises(EngineError, match=reason):
        analyse(trivy, ImageInput(config, image.layers), scratch)


def test_a_layer_that_is_no_tar_is_an_error_or_an_empty_layer_but_no_crash(
    trivy: Trivy, tmp_path: Path, scratch: Path
) -> None:
    for content in (b"", b"x" * 5000, gzip.compress(bytes(10_000)), bytes(512) + b"y" * 700):
        layer = images.Layer(content, content, images.OCI_LAYER)
        with contextlib.suppress(EngineError):
            analyse(trivy, stored(tmp_path / "layers", images.image(layer)), scratch)
        assert list(scratch.iterdir()) == []


def test_a_layer_that_is_not_given_and_not_known_is_asked_for(trivy: Trivy, image: ImageInput, scratch: Path) -> None:
    missing = image.layers[1].diff_id
    session = trivy.session(categories=BOTH_CATEGORIES)
    with pytest.raises(LayersMissing) as caught:
        session.analyse(without(image, {missing}), scratch=scratch, check=no_stop, timeout=60)
    assert caught.value.diff_ids == {missing}
