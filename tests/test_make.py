"""What ``make`` and the build scripts do before any of our Python runs, with stand-ins for the programs they call."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

# Makes a "virtual environment" whose Python notes what it is asked to do; its pip fails while there is a file "broken".
PYTHON = """#!/bin/sh
mkdir -p .venv/bin
cat > .venv/bin/python <<'END'
#!/bin/sh
echo "$*" >> calls
[ "$2" != pytest ] || exec {real} "$@" -p no:django -p no:playwright
[ "$3" != install ] || [ ! -e broken ]
END
chmod +x .venv/bin/python
""".replace("{real}", sys.executable)
INSTALLED = "-m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock"


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    shutil.copy(ROOT / "Makefile", tmp_path)
    (tmp_path / "requirements.lock").write_text("")
    write_program(tmp_path / "python", PYTHON)
    return tmp_path


def write_program(path: Path, content: str) -> None:
    path.parent.mkdir(exist_ok=True, parents=True)
    path.write_text(content)
    path.chmod(0o755)


def make(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "PYTEST"))}
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


def test_the_type_checker_of_scripts_is_installed_once_and_a_failure_is_taken_up_again(clone: Path) -> None:
    shutil.copy(ROOT / "package-lock.json", clone)
    write_program(clone / "bin" / "npm", '#!/bin/sh\nmkdir -p node_modules\necho "$1" >> npm-calls\n[ ! -e broken ]\n')
    path = f"PATH={clone / 'bin'}:{os.environ['PATH']}"
    (clone / "broken").touch()
    assert make(clone, "node_modules/.installed", path).returncode != 0
    (clone / "broken").unlink()
    for _ in range(2):
        assert make(clone, "node_modules/.installed", path).returncode == 0
    assert (clone / "npm-calls").read_text().split() == ["ci", "ci"]


def test_a_machine_without_a_fitting_python_is_told_what_to_install(clone: Path) -> None:
    answer = make(clone, "install", "PYTHON=")
    assert answer.returncode != 0
    assert "sudo apt-get install -y python3 python3-venv" in answer.stderr


SUITE = """
from pathlib import Path

def test_flaky():
    here = Path("been-here")
    was_here = here.exists()
    here.touch()
    assert was_here

def test_broken():
    assert not Path("broken").exists()

def test_sound():
    pass
"""


def test_what_fails_and_passes_when_run_again_is_named_and_counted_as_a_flake(clone: Path) -> None:
    for program in ("ruff", "mypy", "djhtml"):
        write_program(clone / ".venv" / "bin" / program, "#!/bin/sh\n")
    pytest_here = f"{sys.executable} -P -m pytest -p no:django -p no:playwright"  # as installed: the folder is no path
    write_program(clone / ".venv" / "bin" / "pytest", f'#!/bin/sh\nexec {pytest_here} "$@"\n')
    write_program(clone / "tests" / "flakes.py", (ROOT / "tests" / "flakes.py").read_text())
    (clone / "templates").mkdir()
    write_program(clone / ".ci" / "install-test-programs", "#!/bin/sh\n")
    (clone / "package-lock.json").write_text("{}")
    write_program(clone / "node_modules" / ".bin" / "tsc", "#!/bin/sh\n")
    (clone / "node_modules" / ".installed").touch()
    (clone / "requirements-dev.lock").write_text("")
    (clone / "pytest.ini").write_text("[pytest]\n")
    (clone / "test_suite.py").write_text(SUITE)
    answer = make(clone, "test", "PYTHON=./python", "WORKERS=1")
    assert answer.returncode == 0, answer.stdout + answer.stderr
    assert "flakes: 1 failed at first and passed when run again" in answer.stdout
    assert [line for line in answer.stdout.splitlines() if line.startswith("FLAKE")] == [
        "FLAKE test_suite.py::test_flaky"
    ]
    (clone / "been-here").unlink()
    (clone / "broken").touch()
    answer = make(clone, "test", "PYTHON=./python", "WORKERS=1")
    assert answer.returncode == 2
    assert "FLAKE test_suite.py::test_flaky\n" in answer.stdout
    assert "FLAKE test_suite.py::test_broken" not in answer.stdout
    (clone / "broken").unlink()
    answer = make(clone, "test", "PYTHON=./python", "WORKERS=1")
    assert answer.returncode == 0
    assert "FLAKE" not in answer.stdout


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
