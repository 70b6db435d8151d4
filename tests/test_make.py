"""What ``make`` and the build scripts do before any of our Python runs, with stand-ins for the programs they call."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

# Makes a "virtual environment" whose Python notes what it is asked to do; its pip fails while there is a file "broken".
PYTHON = """#!/bin/sh
mkdir -p .venv/bin
cat > .venv/bin/python <<'END'
#!/bin/sh
echo "$*" >> calls
[ "$3" != install ] || [ ! -e broken ]
END
chmod +x .venv/bin/python
"""
INSTALLED = "-m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock"


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    shutil.copy(ROOT / "Makefile", tmp_path)
    (tmp_path / "requirements.lock").write_text("")
    write_program(tmp_path / "python", PYTHON)
    return tmp_path


def write_program(path: Path, content: str) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text(content)
    path.chmod(0o755)


def make(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
    return subprocess.run(["make", *arguments], cwd=folder, env=environment, capture_output=True, text=True, timeout=60)


def installations(clone: Path) -> int:
    return (clone / "calls").read_text().splitlines().count(INSTALLED)


def test_the_locked_packages_are_installed_once_and_again_when_the_lock_has_changed(clone: Path) -> None:
    for _ in range(2):
        assert make(clone, "install", "PYTHON=./python").returncode == 0
        assert installations(clone) == 1
    stamp = (clone / ".venv" / ".run").stat()
    os.utime(clone / "requirements.lock", (stamp.st_atime + 10, stamp.st_mtime + 10))
    assert make(clone, "install", "PYTHON=./python").returncode == 0
    assert installations(clone) == 2


def test_an_installation_that_failed_is_taken_up_again(clone: Path) -> None:
    (clone / "broken").touch()
    assert make(clone, "install", "PYTHON=./python").returncode != 0
    (clone / "broken").unlink()
    assert make(clone, "install", "PYTHON=./python").returncode == 0
    assert installations(clone) == 2


def test_a_machine_without_a_fitting_python_is_told_what_to_install(clone: Path) -> None:
    answer = make(clone, "install", "PYTHON=")
    assert answer.returncode != 0
    assert "sudo apt-get install -y python3 python3-venv" in answer.stderr


def test_who_may_not_install_programs_is_told_the_one_command(tmp_path: Path) -> None:
    programs = tmp_path / "programs"
    for name in ("bash", "dirname", "env"):
        programs.mkdir(exist_ok=True)
        (programs / name).symlink_to(shutil.which(name) or name)
    write_program(programs / "id", "#!/bin/sh\necho 1000\n")
    write_program(programs / "sudo", "#!/bin/sh\nexit 1\n")
    write_program(programs / "apt-get", "#!/bin/sh\nexit 1\n")
    answer = subprocess.run(
        [ROOT / ".ci" / "apt-install", "chromium", "skopeo"],
        env={"PATH": str(programs)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert answer.returncode == 1
    assert answer.stderr.endswith("  sudo apt-get install -y --no-install-recommends chromium skopeo\n")
