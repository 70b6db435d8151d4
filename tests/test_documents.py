"""What the README promises is what the settings and the Makefile do."""

import re
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text()


def test_the_table_of_settings_has_every_setting_and_no_other() -> None:
    read = set(re.findall(r'env\.\w+\(\s*"([A-Z_]+)"', (ROOT / "console" / "settings.py").read_text()))
    told = set(re.findall(r"^\| `([A-Z_]+)` \|", README, re.MULTILINE))
    assert told == read


def test_every_target_that_the_documents_name_is_one_that_make_knows() -> None:
    listed = set(re.findall(r"^  make ([a-z-]+)", run_make("help"), re.MULTILINE))
    documents = README + (ROOT / "CONTRIBUTING.md").read_text()
    assert set(re.findall(r"\bmake ([a-z-]+)\b(?=[`\s])", re.sub(r"and `make`.*", "", documents))) <= listed


def test_the_lock_files_hash_everything_and_name_no_index() -> None:
    for lock in ("requirements.lock", "requirements-dev.lock"):
        lines = (ROOT / lock).read_text().splitlines()
        pinned = [number for number, line in enumerate(lines) if re.match(r"[a-z0-9]", line)]
        assert pinned
        assert all("--hash=sha256:" in lines[number + 1] for number in pinned)
        assert not [line for line in lines if "://" in line or line.startswith("--")]


def test_every_test_and_command_that_the_table_of_faults_names_is_there() -> None:
    tests = ROOT / "tests"
    lines = (ROOT / "docs" / "faults.md").read_text().splitlines()
    cells = [line.split("|")[2] for line in lines if line.startswith("|")]
    named = [name for cell in cells for name in re.findall(r"`([a-z_/]+(?:\.py)?)`", cell)]
    assert len(named) > 50
    assert not [
        name for name in named if not (tests / name if "." in name else tests / "benchmarks" / f"{name}.py").exists()
    ]


def test_every_test_that_the_documents_of_threats_name_is_there() -> None:
    for document in ("docs/threats.md", "SECURITY.md"):
        text = (ROOT / document).read_text()
        rows = "\n".join(line for line in text.splitlines() if line.startswith("|"))
        named = set(re.findall(r"`(tests/[\w/]+\.py|test_\w+\.py)`", rows))
        assert named
        there = {str(path.relative_to(ROOT)) for path in (ROOT / "tests").rglob("*.py")}
        there |= {name.rsplit("/", 1)[1] for name in there}
        assert not named - there
        commands = re.findall(r"python -m tests\.benchmarks\.(\w+)", text)
        assert not [name for name in commands if not (ROOT / "tests" / "benchmarks" / f"{name}.py").exists()]


def run_make(*arguments: str) -> str:
    return subprocess.run(["make", *arguments], cwd=ROOT, capture_output=True, text=True, check=True).stdout
