"""The YARA-X engine sees malware wherever it lies in a layer, and says what it could not look at."""

from __future__ import annotations

import bz2
import gzip
import hashlib
import io
import lzma
import mmap
import os
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
import yara_x
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

import scanning
from scanning.engines.base import LayerReport, Severity
from scanning.engines.formats import archives
from scanning.engines.sandbox.client import SandboxClient
from scanning.engines.skipped_content import MAX_NOTE_LINES, Notes, printable_path
from scanning.engines.yara import messages
from scanning.engines.yara import scan as yara_scan
from scanning.engines.yara.engine import Yara
from scanning.engines.yara.ruleset import compile_rules, read_sources
from tests.scanning import archive_samples
from tests.scanning.layer import EICAR, layer, tar

RULES = Path(scanning.__file__).parent / "rules"


def go_on() -> None:
    pass


@pytest.fixture(scope="module")
def yara() -> Yara:
    return Yara(rules=RULES)


def look(yara: Yara, tmp_path: Path, files: dict[str, bytes]) -> LayerReport:
    return yara.scan_layer(layer(tmp_path, files), check=go_on)


def zipped(files: dict[str, bytes], **options: int) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", **options) as archive:  # type: ignore[arg-type]
        for name, content in files.items():
            archive.writestr(name, content)
    return out.getvalue()


def debian_package(data: bytes) -> bytes:
    def part(name: bytes, content: bytes) -> bytes:
        header = b"%-16s%-12s%-6s%-6s%-8s%-10d`\n" % (name, b"0", b"0", b"0", b"100644", len(content))
        return header + content + b"\n" * (len(content) % 2)

    return b"!<arch>\n" + part(b"debian-binary", b"2.0\n") + part(b"data.tar.xz", lzma.compress(data))


def test_a_finding_tells_file_size_and_hash(yara: Yara, tmp_path: Path) -> None:
    report = look(yara, tmp_path, {"usr/bin/good": b"good", "srv/eicar.com": EICAR, "empty": b""})
    (found,) = report.findings
    assert (found.engine, found.rule, found.kind, found.family) == ("yara", "EICAR_Test_File", "virus", "EICAR")
    assert (found.path, found.size, found.sha256) == ("srv/eicar.com", 68, hashlib.sha256(EICAR).hexdigest())
    assert found.reference.startswith("https://")
    assert (report.files, report.bytes, report.skipped) == (2, 72, ())


@pytest.mark.parametrize(
    ("name", "content", "path"),
    [
        ("a.zip", zipped({"inner/x": EICAR}, compression=zipfile.ZIP_DEFLATED), "a.zip!/inner/x"),
        ("a.jar", zipped({"x": EICAR}), "a.jar!/x"),
        ("b.tar", tar({"d/x": EICAR}), "b.tar!/d/x"),
        ("b.tar.gz", gzip.compress(tar({"d/x": EICAR})), "b.tar.gz!/d/x"),
        ("b.tar.xz", lzma.compress(tar({"d/x": EICAR})), "b.tar.xz!/d/x"),
        ("b.tar.bz2", bz2.compress(tar({"d/x": EICAR})), "b.tar.bz2!/d/x"),
        ("b.tar.zst", zstandard.compress(tar({"d/x": EICAR})), "b.tar.zst!/d/x"),
        ("x.gz", gzip.compress(EICAR), "x.gz!/x"),
        ("p.deb", debian_package(tar({"./usr/x": EICAR})), "p.deb!/data.tar.xz!/usr/x"),
        ("no-name", zipped({"a.zip": zipped({"b.gz": gzip.compress(EICAR)})}), "no-name!/a.zip!/b.gz!/b"),
    ],
    ids=["zip", "jar", "tar", "tar.gz", "tar.xz", "tar.bz2", "tar.zst", "gz", "deb", "nested"],
)
def test_malware_in_archives_is_found_with_its_way_in(
    yara: Yara, tmp_path: Path, name: str, content: bytes, path: str
) -> None:
    report = look(yara, tmp_path, {name: content})
    assert [found.path for found in report.findings] == [path]
    assert report.skipped == ()


def test_an_archive_nested_too_deep_is_named_not_passed_over(yara: Yara, tmp_path: Path) -> None:
    content = EICAR
    for _ in range(4):
        content = zipped({"x": content})
    report = look(yara, tmp_path, {"deep.zip": content})
    assert report.findings == ()
    assert report.skipped == ("1 file in an archive nested deeper than 3: deep.zip!/x!/x!/x",)


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (gzip.compress(b"x" * 100)[:-6], "cannot be unpacked (its gzip stream is truncated)"),
        (zipped({"x": b"x" * 100})[:-30], "zip directory is missing"),
        (archive_samples.encrypted(b"x"), "encrypted with a password"),
        (archive_samples.by_method(9, gzip.compress)(b"x"), "unsupported compression method"),
        (b"7z\xbc\xaf\x27\x1c rest", "in 7z format"),
        (gzip.compress(bytes(20 << 20)), "more than 200 times its compressed size"),
        (bz2.compress(bytes(20 << 20)), "more than 200 times its compressed size"),
        (lzma.compress(bytes(20 << 20)), "more than 200 times its compressed size"),
        (zipped({"x": bytes(20 << 20)}, compression=zipfile.ZIP_DEFLATED), "more than 200 times its compressed size"),
    ],
    ids=["cut gzip", "cut zip", "encrypted", "method", "7z", "gzip bomb", "bzip2 bomb", "xz bomb", "zip bomb"],
)
def test_what_cannot_be_seen_is_said(yara: Yara, tmp_path: Path, content: bytes, why: str) -> None:
    report = look(yara, tmp_path, {"odd": content})
    (line,) = report.skipped
    assert why in line
    assert "odd" in line


def test_the_good_files_of_an_archive_with_a_bad_one_are_looked_at(yara: Yara, tmp_path: Path) -> None:
    content = bytearray(zipped({"bad": b"A" * 50, "worse": EICAR}))
    content[content.find(b"A" * 50)] ^= 1  # its checksum is wrong now
    report = look(yara, tmp_path, {"a.zip": bytes(content)})
    assert [found.path for found in report.findings] == ["a.zip!/worse"]
    assert "a.zip!/bad" in report.skipped[0]


def test_a_zip_of_folders_without_number_is_read_to_a_bound() -> None:
    notes, bounds = archives.Notes(), archives.UnpackLimits(entries=50)
    content = zipped({f"{number}/": b"" for number in range(1000)})
    assert list(archives.members(content, "z", bounds, notes)) == []
    assert notes.lines() == ("1 file in an archive beyond the limit of what is unpacked from one layer: z",)


def test_the_files_of_all_archives_of_a_layer_are_counted() -> None:
    notes, bounds = archives.Notes(), archives.UnpackLimits(files=5)
    content = zipped({f"{number}": b"x" for number in range(10)})
    assert len(list(archives.members(content, "a", bounds, notes))) == 5
    assert len(list(archives.members(content, "b", bounds, notes))) == 0
    assert notes.lines() == ("2 files in archives beyond the limit of what is unpacked from one layer, e.g. a, b",)


@settings(max_examples=400, deadline=None)
@given(
    which=st.integers(0, 6),
    edits=st.lists(st.tuples(st.integers(0, 1500), st.binary(min_size=1, max_size=8)), max_size=5),
    cut=st.integers(20, 1500),
)
def test_no_mutated_archive_makes_the_reader_fail(which: int, edits: list[tuple[int, bytes]], cut: int) -> None:
    inner = {"one": b"1" * 300, "two": os.urandom(100)}
    makers: list[Callable[[], bytes]] = [
        lambda: zipped(inner, compression=zipfile.ZIP_DEFLATED),
        lambda: tar(inner),
        lambda: gzip.compress(tar(inner)),
        lambda: bz2.compress(tar(inner)),
        lambda: lzma.compress(tar(inner)),
        lambda: zstandard.compress(tar(inner)),
        lambda: debian_package(tar(inner)),
    ]
    data = bytearray(makers[which]())
    for offset, content in edits:
        data[offset : offset + len(content)] = content
    notes = archives.Notes()
    for view in (bytes(data[:cut]), memoryview(data)[:cut]):
        found = list(archives.members(view, "a", archives.UnpackLimits(), notes))
        assert all(path.startswith("a!/") for path, _ in found)


def test_a_damaged_layer_gives_what_could_be_read_and_says_so(yara: Yara, tmp_path: Path) -> None:
    path = layer(tmp_path, {"eicar": EICAR, "later": b"x" * 2000})
    path.write_bytes(path.read_bytes()[:2048])
    report = yara.scan_layer(path, check=go_on)
    assert len(report.findings) == 1
    assert "damaged" in report.skipped[0]


def test_an_empty_layer_is_no_fault(yara: Yara, tmp_path: Path) -> None:
    (tmp_path / "layer").touch()
    assert yara.scan_layer(tmp_path / "layer", check=go_on) == LayerReport((), 0, 0)


def test_links_devices_and_folders_are_not_files(yara: Yara, tmp_path: Path) -> None:
    path = tmp_path / "layer"
    with tarfile.open(path, "w") as archive:
        for kind in (
            tarfile.SYMTYPE,
            tarfile.LNKTYPE,
            tarfile.CHRTYPE,
            tarfile.BLKTYPE,
            tarfile.FIFOTYPE,
            tarfile.DIRTYPE,
        ):
            info = tarfile.TarInfo("../../etc/passwd")
            info.type, info.linkname = kind, "/etc/shadow"
            archive.addfile(info)
    assert yara.scan_layer(path, check=go_on) == LayerReport((), 0, 0)
    assert os.listdir(tmp_path) == ["layer"]


def test_a_file_over_the_bound_is_counted_as_not_looked_at(tmp_path: Path) -> None:
    report = look(Yara(rules=RULES, max_file_bytes=1000), tmp_path, {"big": EICAR + bytes(1000), "small": EICAR})
    assert [found.path for found in report.findings] == ["small"]
    assert report.skipped == ("1 file over 0.0 GiB: big",)


def test_a_file_larger_than_a_piece_is_seen_whole_with_its_head(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(yara_scan, "PIECE_BYTES", 64 << 10)
    monkeypatch.setattr(yara_scan, "OVERLAP_BYTES", 4 << 10)
    rules = compile_rules(read_sources(RULES, None), version="")
    traces = "".join(("LOLNO", "GTFO ", "KILL", "ATTK ", "GETLOCAL", "IP")).encode()
    for offset in (100_000, (64 << 10) - 10, 299_990):  # within a piece, across two, at the end
        content = bytearray(b"\x7fELF" + bytes(300_000 + len(traces)))
        content[offset : offset + len(traces)] = traces
        scanner = yara_scan.make_scanner(yara_x.Rules.deserialize_from(io.BytesIO(rules.compiled)))
        seen = yara_scan.YaraLayerScan(scanner, 1 << 30)
        with layer(tmp_path, {"bot": bytes(content)}).open("rb") as file:
            seen.layer(mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ))
        assert [hit.rule for hit in seen.hits] == ["Botnet_Gafgyt"]
        assert seen.hits[0].sha256 == hashlib.sha256(content).hexdigest()


def test_memory_stays_flat_over_a_large_layer(tmp_path: Path) -> None:
    path = tmp_path / "layer"
    with path.open("wb") as file:
        for number in range(3):
            info = tarfile.TarInfo(f"file{number}")
            info.size = 300 << 20
            file.write(info.tobuf())
            file.seek(300 << 20, os.SEEK_CUR)
        file.write(bytes(1024))
    report = Yara(rules=RULES, sandbox=SandboxClient(memory_bytes=300 << 20)).scan_layer(path, check=go_on)
    assert report.bytes == 900 << 20


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("usr/bin/ls", "usr/bin/ls"),
        ("a\nb", "a\\nb"),
        ("\u202egnp.exe", "\\u202egnp.exe"),
        ("nul\0", "nul\\x00"),
        (b"\xff\xfe".decode("utf-8", "surrogateescape"), "\\xff\\xfe"),
        ("a\\nb", "a\\\\nb"),
        ("größe/日本", "größe/日本"),
    ],
)
def test_paths_are_shown_as_text_and_never_two_the_same(path: str, text: str) -> None:
    assert printable_path(path) == text
    text.encode()


def test_a_long_path_is_cut_in_its_middle() -> None:
    path = "a" * 3000 + "/end.txt"
    assert len(printable_path(path)) == 1000
    assert printable_path(path).endswith("/end.txt")


def test_what_is_said_of_files_is_text_whatever_they_are_called(yara: Yara, tmp_path: Path) -> None:
    name = b"a/\xff\n\xe2\x80\xae".decode("utf-8", "surrogateescape")
    report = look(yara, tmp_path, {"b.tar": tar({name: b"7z\xbc\xaf\x27\x1c rest"})})
    assert report.skipped == ("1 file in 7z format, which is not unpacked: b.tar!/a/\\xff\\n\\u202e",)


def test_reasons_made_up_without_end_are_a_bounded_list() -> None:
    notes = Notes()
    for number in range(1000):
        notes.add(messages.GIVEN_UP(timeout=number), "path")
        notes.add(messages.GIVEN_UP(timeout=3), "path")
    lines = notes.lines()
    assert len(lines) == MAX_NOTE_LINES
    assert lines[-1] == f"{1000 - MAX_NOTE_LINES + 1} more for other reasons"
    assert "1001 files whose scan was stopped after 3 s, e.g. path" in lines


TEAM_RULE = 'rule Ours { meta: score = 75 condition: filename == "bad.bin" and extension == ".bin" }'


def test_rules_of_the_team_are_used_and_change_the_version(tmp_path: Path) -> None:
    team = tmp_path / "rules"
    yara = Yara(rules=RULES, extra=team)
    first = yara.version()
    team.mkdir()
    (team / "ours.yar").write_text(TEAM_RULE)
    assert yara.version() == first  # a scan that runs keeps its rules
    readiness = yara.ready()
    assert readiness.ready
    assert readiness.version == yara.version() != first
    assert ("Rules of the team", "1") in readiness.facts
    (found,) = look(yara, tmp_path, {"opt/bad.bin": b"x", "opt/good.bin": b"x"}).findings
    assert (found.rule, found.family, found.severity, found.kind) == ("Ours", "Ours", Severity.HIGH, "trojan")


def test_an_error_in_a_rule_of_the_team_is_shown_with_file_and_line_and_stops_no_other(tmp_path: Path) -> None:
    team = tmp_path / "rules"
    (team / "deep").mkdir(parents=True)
    (team / "good.yar").write_text(TEAM_RULE)
    (team / "deep" / "bad.yara").write_text("rule Broken {\n  condition:\n    nothing_known\n}\n")
    (team / "latin.yar").write_bytes(b"// gr\xfc\xdfe\n")
    yara = Yara(rules=RULES, extra=team)
    readiness = yara.ready()
    assert readiness.ready
    assert "deep/bad.yara:3: unknown identifier `nothing_known`" in readiness.reason
    assert "latin.yar:1: not UTF-8" in readiness.reason
    assert str(team) in readiness.remedy
    report = look(yara, tmp_path, {"bad.bin": b"x"})
    assert len(report.findings) == 1
    assert "deep/bad.yara:3" in report.skipped[0]
    (team / "deep" / "bad.yara").unlink()
    (team / "latin.yar").unlink()
    assert yara.ready().reason == ""


def test_damaged_or_missing_rules_of_the_project_are_no_silent_zero(tmp_path: Path) -> None:
    readiness = Yara(rules=tmp_path / "nothing").ready()
    assert (readiness.ready, bool(readiness.reason), bool(readiness.remedy)) == (False, True, True)
    (tmp_path / "half.yar").write_text("rule Half { condit")
    readiness = Yara(rules=tmp_path).ready()
    assert not readiness.ready
    assert "half.yar:1" in readiness.reason


def test_the_version_follows_every_byte_of_the_rules(tmp_path: Path) -> None:
    rule = tmp_path / "a.yar"
    rule.write_text("rule A { condition: false }")
    first = Yara(rules=tmp_path).version()
    assert Yara(rules=tmp_path).version() == first
    rule.write_text("rule A { condition: false } // changed")
    assert Yara(rules=tmp_path).version() != first
    assert len(first) < 100
