from __future__ import annotations

import hashlib
import hmac
import py_compile
from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scanning.engines.base import ImageInput, RiskCategory, SecretFact, Severity
from scanning.engines.trivy.engine import Trivy
from scanning.engines.trivy.secrets import FoundSecret, mask_secrets
from tests.scanning.engines.conftest import (
    AWS_KEY_ID,
    AWS_SECRET,
    DEBIAN,
    GITHUB_TOKEN,
    PRIVATE_KEY_LINES,
    SLACK_TOKEN,
    analyse,
    no_stop,
    on_disk,
)

KEY = b"a key for tests"
PRIVATE_KEY = "\n".join(["-----BEGIN RSA PRIVATE KEY-----", *PRIVATE_KEY_LINES, "-----END RSA PRIVATE KEY-----", ""])


def fingerprint(value: str) -> str:
    return hmac.new(KEY, b"value:" + value.encode(), hashlib.sha256).hexdigest()


def secrets(trivy: Trivy, tmp_path: Path, *layers: Mapping[str, str | bytes]) -> list[SecretFact]:
    scratch = tmp_path / "scratch"
    scratch.mkdir(exist_ok=True)
    image: ImageInput = on_disk(tmp_path / "layers", DEBIAN, *layers)
    return sorted(
        analyse(trivy, image, scratch, {RiskCategory.SENSITIVE}).secrets, key=lambda each: (each.path, each.start_line)
    )


def test_keys_of_aws_are_masked_and_hashed(trivy: Trivy, tmp_path: Path) -> None:
    text = f"# deploy\nAWS_ACCESS_KEY_ID={AWS_KEY_ID}\nAWS_SECRET_ACCESS_KEY={AWS_SECRET}\n"
    key_id, secret = secrets(trivy, tmp_path, {"app/.env": text})
    assert (key_id.rule, key_id.category, key_id.severity) == ("aws-access-key-id", "AWS", Severity.CRITICAL)
    assert (key_id.path, key_id.start_line, key_id.end_line) == ("app/.env", 2, 2)
    assert key_id.masked == "AWS_ACCESS_KEY_ID=AKIA**************LQ"
    assert key_id.fingerprint == fingerprint(AWS_KEY_ID)
    assert (secret.rule, secret.start_line) == ("aws-secret-access-key", 3)
    assert secret.masked == "AWS_SECRET_ACCESS_KEY=wJal********************EY"
    assert secret.fingerprint == fingerprint(AWS_SECRET)


def test_one_secret_has_one_fingerprint_wherever_it_stands(trivy: Trivy, tmp_path: Path) -> None:
    files = {
        "a.env": f"GITHUB_TOKEN={GITHUB_TOKEN}\n",
        "b.json": '{"x": "' + "q" * 300 + f'", "token": "{GITHUB_TOKEN}", "y": "' + "z" * 300 + '"}',
        "c.txt": f"first {GITHUB_TOKEN} second {GITHUB_TOKEN}\r\n",
        "d.txt": "Zürich, naïve, 東京: " + GITHUB_TOKEN,
        "e.txt": "a line\n" * 30_000 + f"token: {GITHUB_TOKEN}\n",  # beyond the 64 KiB that Trivy reads at a time
    }
    found = secrets(trivy, tmp_path, files)
    assert [each.path for each in found] == ["a.env", "b.json", "c.txt", "c.txt", "d.txt", "e.txt"]
    assert {each.fingerprint for each in found} == {fingerprint(GITHUB_TOKEN)}
    assert found[-1].start_line == 30_001
    for each in found:
        assert "ghp_********************r8" in each.masked
        assert GITHUB_TOKEN[4:-2] not in each.masked
        assert len(each.masked) <= 260


def test_a_private_key_of_several_lines_is_hashed_whole(trivy: Trivy, tmp_path: Path) -> None:
    (found,) = secrets(trivy, tmp_path, {"root/id_rsa": PRIVATE_KEY})
    assert (found.rule, found.start_line, found.end_line) == ("private-key", 2, 9)
    assert found.masked == "MIIE********************"
    assert found.fingerprint == fingerprint("\n".join(PRIVATE_KEY_LINES))


def test_a_private_key_with_other_line_ends_is_the_same_key(trivy: Trivy, tmp_path: Path) -> None:
    files = {"a.pem": PRIVATE_KEY, "b.pem": PRIVATE_KEY.replace("\n", "\r\n"), "c.pem": "x: |\n" + PRIVATE_KEY}
    found = secrets(trivy, tmp_path, files)
    assert len(found) == 3
    assert len({each.fingerprint for each in found}) == 1


def test_a_token_that_trivy_masks_by_half_is_masked_whole(trivy: Trivy, tmp_path: Path) -> None:
    (found,) = secrets(trivy, tmp_path, {"hook.txt": f"slack={SLACK_TOKEN}\n"})
    assert found.masked == "slack=xoxb********************Wx"
    assert found.fingerprint == fingerprint(SLACK_TOKEN)


def test_other_secrets_on_the_line_are_masked_too(trivy: Trivy, tmp_path: Path) -> None:
    found = secrets(trivy, tmp_path, {"both.txt": f"slack={SLACK_TOKEN} github={GITHUB_TOKEN} end"})
    assert {each.masked for each in found} == {
        "slack=xoxb********************Wx github=************ end",
        "slack=************ github=ghp_********************r8 end",
    }


def test_a_secret_that_a_later_layer_deletes_is_found_in_its_layer(trivy: Trivy, tmp_path: Path) -> None:
    layers = (
        {"app/.env": f"T={GITHUB_TOKEN}\n", "b": f"T={AWS_KEY_ID}\n"},
        {"app/.wh..env": "", "b": "nothing to see\n"},
    )
    found = secrets(trivy, tmp_path, *layers)
    lower = on_disk(tmp_path / "layers", DEBIAN, *layers).layers[1].diff_id
    assert [(each.path, each.diff_id) for each in found] == [("app/.env", lower), ("b", lower)]
    assert found[0].fingerprint == fingerprint(GITHUB_TOKEN)


def test_a_secret_in_a_compiled_file_keeps_trivys_mask_and_a_hash_of_its_place(trivy: Trivy, tmp_path: Path) -> None:
    source = tmp_path / "m.py"
    source.write_text(f'TOKEN = "{GITHUB_TOKEN}"\n')
    compiled = Path(py_compile.compile(str(source), cfile=str(tmp_path / "m.pyc"))).read_bytes()
    (found,) = secrets(trivy, tmp_path, {"app/m.pyc": compiled})
    assert found.rule == "github-pat"
    assert GITHUB_TOKEN[4:-2] not in found.masked
    assert found.fingerprint != fingerprint(GITHUB_TOKEN)
    assert len(found.fingerprint) == 64


# --- without Trivy: what is done with reports that do not fit the file ---------------------------------------------

TOKENS = st.from_regex(r"[A-Za-z0-9_/+-]{4,60}", fullmatch=True)
TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\x00*\r"), max_size=150)


def reported(content: bytes, start: int, end: int) -> FoundSecret:
    """What Trivy would report of ``content[start:end]`` (its ``findLocation``)."""
    line_start = content.rfind(b"\n", 0, start) + 1
    line_end = content.find(b"\n", start)
    line_end = len(content) if line_end < 0 else line_end
    if line_end - line_start > 100:
        line_start, line_end = max(line_start, start - 30), min(end + 20, line_end)
    censored = content[:start] + b"*" * (end - start) + content[end:]
    match = censored[line_start:line_end].decode("utf-8", "replace")
    line = content.count(b"\n", 0, start) + 1
    return FoundSecret("rule", "", "", Severity.HIGH, "f", line, line, start, match, "", "sha256:0")


@settings(max_examples=150, deadline=None)
@given(before=TEXT, token=TOKENS, after=TEXT)
def test_the_raw_value_is_shown_by_four_and_two_characters_at_most(
    tmp_path_factory: pytest.TempPathFactory, before: str, token: str, after: str
) -> None:
    content = f"{before}={token} {after}".encode()
    start = len(f"{before}=".encode())
    secret = reported(content, start, start + len(token))
    layer = on_disk(tmp_path_factory.mktemp("layer"), {"f": content}).layers[0].path
    assert layer
    shown = mask_secrets([secret], layer, key=KEY, check=no_stop)[secret.key]
    hidden = token if len(token) < 12 else token[4:-2]
    assert hidden not in shown.masked.replace(before.strip(), "").replace(after.strip(), "")
    assert "\n" not in shown.masked
    assert len(shown.masked) <= 260


@settings(max_examples=100, deadline=None)
@given(
    content=st.binary(max_size=400),
    offset=st.integers(0, 500) | st.none(),
    match=st.text(st.characters(codec="utf-8") | st.just("*"), max_size=120),
    lines=st.tuples(st.integers(0, 5), st.integers(0, 5)),
    last=st.text(max_size=20),
)
def test_a_report_that_does_not_fit_its_file_is_masked_as_trivy_did(
    tmp_path_factory: pytest.TempPathFactory,
    content: bytes,
    offset: int | None,
    match: str,
    lines: tuple[int, int],
    last: str,
) -> None:
    secret = FoundSecret("rule", "", "", Severity.LOW, "f", *lines, offset, match, last, "sha256:0")
    layer = on_disk(tmp_path_factory.mktemp("layer"), {"f": content}).layers[0].path
    assert layer
    shown = mask_secrets([secret], layer, key=KEY, check=no_stop)[secret.key]
    assert len(shown.fingerprint) == 64
    assert shown.masked.isprintable()


def test_a_secret_that_is_not_located_hides_behind_trivys_mask_on_the_lines_of_others(tmp_path: Path) -> None:
    content = f"a={GITHUB_TOKEN} b={AWS_KEY_ID} end"
    layer = on_disk(tmp_path, {"f": content}).layers[0].path
    assert layer
    match = f"a={'*' * 40} b={'*' * 20} end"
    located = FoundSecret("github-pat", "", "", Severity.HIGH, "f", 1, 1, 2, match, "", "sha256:0")
    lost = FoundSecret("aws-access-key-id", "", "", Severity.HIGH, "f", 1, 1, None, match, "", "sha256:0")
    shown = mask_secrets([located, lost], layer, key=KEY, check=no_stop)
    assert {each.masked for each in shown.values()} == {"a=************ b=************ end"}
    assert shown[located.key].fingerprint == fingerprint(GITHUB_TOKEN)
    assert shown[lost.key].fingerprint != fingerprint(AWS_KEY_ID)


def test_a_file_that_is_not_in_the_layer_is_no_error(tmp_path: Path) -> None:
    layer = on_disk(tmp_path, {"g": "nothing"}).layers[0].path
    assert layer
    secret = FoundSecret("rule", "", "", Severity.LOW, "f", 1, 1, 4, "key=********", "", "sha256:0")
    assert mask_secrets([secret], layer, key=KEY, check=no_stop)[secret.key].masked == "key=************"
