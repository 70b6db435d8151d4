"""ClamAV through the clamd of Debian, with a few signatures of our own; and what is said where it cannot work."""

from __future__ import annotations

import hashlib
import os
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from console.jobs.models import State
from inventory.models import Tag
from registries.models import Registry
from scanning import configured_engines
from scanning.engines.base import EngineError, Severity
from scanning.engines.clamav.engine import ClamAv, malware_fact
from scanning.models import CategoryResult, LayerResult, MalwareFinding, SecretFinding
from tests.fakes import images
from tests.fakes.registry import FakeRegistry
from tests.scanning.conftest import scan, sync
from tests.scanning.layer import EICAR, layer

CLAMD = shutil.which("clamd", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
LONGEST = 2 << 20
START_SECONDS = 60


@pytest.fixture(scope="module")
def clamd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The socket of a real clamd that knows EICAR by its hash and a word by its bytes."""
    assert CLAMD, "clamd is missing: run .ci/install-test-programs"
    folder = tmp_path_factory.mktemp("clamd")
    signatures = folder / "signatures"
    signatures.mkdir()
    (signatures / "own.hdb").write_text(f"{hashlib.md5(EICAR).hexdigest()}:{len(EICAR)}:Eicar-Test-Signature\n")
    (signatures / "own.ndb").write_text(f"Unix.Trojan.Sample-1:0:*:{b'tallyman-clamav-sample'.hex()}\n")
    path = folder / "clamd.ctl"
    settings = {
        "LocalSocket": path,
        "DatabaseDirectory": signatures,
        "Foreground": "yes",
        "StreamMaxLength": LONGEST,
        "MaxThreads": 2,
        "TemporaryDirectory": folder,
        "LogFile": folder / "log",
    }
    (folder / "clamd.conf").write_text("".join(f"{name} {value}\n" for name, value in settings.items()))
    process = subprocess.Popen(
        [CLAMD, "--config-file", folder / "clamd.conf"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        give_up = time.monotonic() + START_SECONDS
        while not path.exists():
            assert process.poll() is None, (folder / "log").read_text()
            assert time.monotonic() < give_up
            time.sleep(0.05)
        yield str(path)
    finally:
        process.terminate()
        process.wait(30)


def go_on() -> None:
    pass


def test_it_finds_what_its_signatures_know_and_in_archives_too(clamd: str, tmp_path: Path) -> None:
    files = {
        "opt/eicar.com": EICAR,
        "etc/passwd": b"root:x:0:0::/root:/bin/sh\n",
        "srv/tool": b"\x7fELF" + bytes(3 << 18) + b"tallyman-clamav-sample" + bytes(100),
        "empty": b"",
    }
    report = ClamAv(address=clamd, max_file_bytes=LONGEST).scan_layer(layer(tmp_path, files), check=go_on)
    assert [(one.path, one.rule, one.kind, one.engine) for one in report.findings] == [
        ("opt/eicar.com", "Eicar-Test-Signature", "virus", "clamav"),
        ("srv/tool", "Unix.Trojan.Sample-1", "trojan", "clamav"),
    ]
    assert report.findings[0].sha256 == hashlib.sha256(EICAR).hexdigest()
    assert (report.files, report.skipped) == (3, ())


def test_files_that_are_too_large_for_us_or_for_clamd_are_named(clamd: str, tmp_path: Path) -> None:
    files = {"big": bytes(LONGEST + 1000), "after": EICAR, "bigger": bytes(LONGEST * 3)}
    report = ClamAv(address=clamd, max_file_bytes=LONGEST * 2).scan_layer(layer(tmp_path, files), check=go_on)
    assert [one.path for one in report.findings] == ["after"]
    assert report.skipped == (
        "1 file larger than clamd accepts (StreamMaxLength): big",
        "1 file over 4 MiB, not sent to ClamAV: bigger",
    )


def test_its_version_tells_engine_and_signatures(clamd: str) -> None:
    engine = ClamAv(address=clamd, max_file_bytes=LONGEST)
    readiness = engine.ready()
    facts = dict(readiness.facts)
    assert readiness.ready
    assert facts["Version"][0].isdigit()
    assert "own" in facts["Signatures"]
    assert readiness.version == engine.version()
    assert f"clamav {facts['Version']}, signatures own-" in engine.version()


def answering(answer: bytes) -> Iterator[str]:
    """Something that listens on a port and says ``answer`` to whoever comes."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.2)
        done = threading.Event()

        def serve() -> None:
            while not done.is_set():
                try:
                    connection, _address = server.accept()
                except TimeoutError:
                    continue
                with connection:
                    connection.recv(1000)
                    connection.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield f"127.0.0.1:{server.getsockname()[1]}"
        finally:
            done.set()
            thread.join()


@pytest.mark.parametrize(
    ("answer", "signatures", "old"),
    [
        (b"1: ClamAV 1.4.6/27500/Mon Nov  2 09:00:00 2020\0", "27500", True),
        (b"1: ClamAV 1.4.6\0", "own", False),
    ],
)
def test_the_age_of_the_signatures_is_told_over_tcp_too(answer: bytes, signatures: str, old: bool) -> None:
    for address in answering(answer):
        readiness = ClamAv(address=address, max_file_bytes=LONGEST).ready()
        assert readiness.ready
        assert f"signatures {signatures}" in readiness.version
        assert ("days old" in readiness.reason) is old


@pytest.mark.parametrize("answer", [b"220 mail ESMTP\r\n\0", b""])
def test_what_is_no_clamd_is_told_apart(answer: bytes) -> None:
    for address in answering(answer):
        readiness = ClamAv(address=address, max_file_bytes=LONGEST).ready()
        assert not readiness.ready
        assert address in readiness.reason
        assert readiness.remedy


def test_a_clamd_that_breaks_off_fails_the_scan_and_not_the_file(tmp_path: Path) -> None:
    for address in answering(b""):
        with pytest.raises(EngineError) as caught:
            ClamAv(address=address, max_file_bytes=LONGEST).scan_layer(layer(tmp_path, {"a": b"b"}), check=go_on)
        assert caught.value.retry


def test_a_cancel_stops_the_stream(clamd: str, tmp_path: Path) -> None:
    looks = iter(range(2))

    def check() -> None:
        if next(looks, None) is None:
            raise InterruptedError

    with pytest.raises(InterruptedError):
        ClamAv(address=clamd, max_file_bytes=1 << 30).scan_layer(layer(tmp_path, {"a": bytes(20 << 20)}), check=check)


@pytest.mark.parametrize(
    ("signature", "family", "kind", "severity"),
    [
        ("Win.Trojan.Agent-123", "Agent", "trojan", Severity.HIGH),
        ("Unix.Worm.Mirai-7", "Mirai", "virus", Severity.HIGH),
        ("PUA.Unix.Coinminer.XMRig-1", "Coinminer", "trojan", Severity.MEDIUM),
        ("Eicar-Signature.UNOFFICIAL", "Eicar", "virus", Severity.HIGH),
    ],
)
def test_the_name_of_a_signature_tells_family_and_kind(
    signature: str, family: str, kind: str, severity: Severity
) -> None:
    found = malware_fact(signature, path="a", size=1, sha256="")
    assert (found.family, found.kind, found.severity) == (family, kind, severity)


@pytest.fixture
def configured(settings: Any) -> Iterator[Any]:
    configured_engines.clamav.cache_clear()
    yield settings
    configured_engines.clamav.cache_clear()


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("vulnerability_database")
def test_a_scan_asks_it_once_for_each_layer_where_it_is_configured(
    configured: Any, clamd: str, fake: FakeRegistry, registry: Registry
) -> None:
    configured.CLAMD = clamd
    images.image({"srv/tool": b"tallyman-clamav-sample"}).put(fake, "team/app", "1.0")
    sync(registry)
    assert scan(Tag.objects.get(), "malware").state == State.SUCCEEDED
    assert list(MalwareFinding.objects.values_list("engine", "rule")) == [("clamav", "Unix.Trojan.Sample-1")]
    assert LayerResult.objects.get(engine="clamav").engine_version == configured_engines.clamav().version()  # type: ignore[union-attr]
    assert scan(Tag.objects.get(), "malware").layers_pulled == 0


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("vulnerability_database")
def test_a_clamd_that_is_down_is_a_scan_exception_of_malware_alone(
    configured: Any, fake: FakeRegistry, registry: Registry, tmp_path: Path
) -> None:
    configured.CLAMD = str(tmp_path / "nobody.ctl")
    token = b"ghp_" + b"x7Kq9ZrT2mWvB4nYcH8sLdF1gJpE6uA3oQiR"
    images.image({"app/.env": b"TOKEN=" + token + b"\n"}).put(fake, "team/app", "1.0")
    sync(registry)
    done = scan(Tag.objects.get(), "malware", "sensitive")
    assert done.state == State.FAILED
    assert "nobody.ctl" in done.reason
    assert "TALLYMAN_CLAMD" in done.remedy
    outcomes = dict(CategoryResult.objects.values_list("category", "outcome"))
    assert outcomes == {"malware": "failed", "sensitive": "done"}
    image = Tag.objects.get().image
    assert image is not None
    assert (image.viruses, image.trojans, image.sensitive) == (None, None, SecretFinding.objects.count())
