"""What the documents say is so: settings, targets of make, files, functions, links, and the order of packages."""

import ast
import builtins
import re
import subprocess
from pathlib import Path

import pytest

from console.machines.release import VERSION
from console.pages import navigation
from tests.test_import_order import APPS, LINES

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


# --- the map of the code: docs/, CONTRIBUTING.md, README.md and SECURITY.md ------------------------------------------
FIRST_PARTY = ("console", "registries", "inventory", "scanning", "demo", "tests")
DOCUMENTS = (
    *("README.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md"),
    *sorted(str(path.relative_to(ROOT)) for path in (ROOT / "docs").rglob("*.md")),
)
RELATIVE_TO_TESTS = ("docs/faults.md", "docs/pages.md")  # they say so at their head
FILE_NAME = re.compile(r"`([\w./-]*\w\.(?:py|md|html|css|js|toml|lock|yaml|yml|po|json))`")
FOLDER_NAME = re.compile(r"`((?:[\w.-]+/)+)`")
OBJECT_NAME = re.compile(rf"`((?:{'|'.join(FIRST_PARTY)})(?:\.\w+)*):(\w+(?:\.\w+)*)`")
MADE_LATER = {"data/", "keys/", "rules/", "exports/", "staticfiles/", "machine.json", "tallyman.cdx.json"}


def named_in(document: str, pattern: re.Pattern[str]) -> list[str]:
    return [match.group(1) for match in pattern.finditer((ROOT / document).read_text())]


def defined_in(body: list[ast.stmt]) -> dict[str, ast.stmt]:
    """Return what a module or class defines by itself, without what it imports."""
    found: dict[str, ast.stmt] = {}
    for node in body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            found[node.name] = node
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            found |= {target.id: node for target in targets if isinstance(target, ast.Name)}
    return found


def is_defined(module: str, name: str) -> bool:
    path = ROOT / Path(*module.split("."))
    path = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    if not path.exists():
        return False
    body = ast.parse(path.read_text()).body
    for part in name.split("."):
        node = defined_in(body).get(part)
        if node is None:
            return False
        body = getattr(node, "body", [])
    return True


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_file_and_folder_that_a_document_names_is_there(document: str) -> None:
    names = {*named_in(document, FILE_NAME), *named_in(document, FOLDER_NAME)} - MADE_LATER
    base = ROOT / "tests" if document in RELATIVE_TO_TESTS else ROOT
    places = (base, ROOT, (ROOT / document).parent)
    assert not [name for name in names if not any((place / name).exists() for place in places)]


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_function_and_class_that_a_document_names_is_there(document: str) -> None:
    named = OBJECT_NAME.findall((ROOT / document).read_text())
    assert not [f"{module}:{name}" for module, name in named if not is_defined(module, name)]


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_link_between_documents_leads_somewhere(document: str) -> None:
    text = (ROOT / document).read_text()
    links = [link for link in re.findall(r"\]\(([^)#\s]+)", text) if "://" not in link]
    assert not [link for link in links if not ((ROOT / document).parent / link).exists()]


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_page_that_a_document_names_is_in_the_sidebar_or_has_a_template(document: str) -> None:
    pages = {str(item.label) for _label, items in navigation.SECTIONS for item in items}
    titles = "\n".join(path.read_text() for path in (ROOT / "templates").rglob("*.html"))
    named = re.findall(r"\bpages? \*\*([^*]+)\*\*", " ".join((ROOT / document).read_text().split()))
    assert not [page for page in named if page not in pages and f'{{% translate "{page}" %}}' not in titles]


def test_the_walks_of_the_architecture_name_what_they_pass() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text()
    walks = re.findall(r"^### \d\. .+?(?=^##)", text, re.MULTILINE | re.DOTALL)
    assert len(walks) == 5
    assert all(len(OBJECT_NAME.findall(walk)) >= 8 for walk in walks)


@pytest.mark.parametrize("app", APPS)
def test_the_tables_of_packages_stand_in_the_line_of_the_imports(app: str) -> None:
    text = (ROOT / "docs" / "architecture.md").read_text()
    (section,) = re.findall(rf"^### `{app}`.+?(?=^##)", text, re.MULTILINE | re.DOTALL)
    drawn = re.findall(rf"^\| `{app}/(\w+)/` \|", section, re.MULTILINE)
    of_django = {"templatetags", "management", "migrations"}
    assert drawn == [name for name in LINES[app] if (ROOT / app / name).is_dir() and name not in of_django]


def test_the_table_of_features_counts_the_files_that_it_names() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text()
    rows = re.findall(r"^\| ([^|]+) \| `([^`]+)` \| ([^|]+) \| (\d+) \|$", text, re.MULTILINE)
    assert len(rows) == 10
    for _feature, first, others, count in rows:
        files = [first, *re.findall(r"`([^`]+)`", others)]
        assert len(files) == len(set(files)) == int(count)


def test_a_name_that_is_not_there_is_seen() -> None:
    assert is_defined("console.jobs.state", "advance")
    assert is_defined("scanning.execution.scanned_layers", "ScannedLayers.readable")
    assert not is_defined("console.jobs.state", "retreat")
    assert not is_defined("console.jobs.state", "Job")  # only imported there
    assert not is_defined("scanning.execution.scanned_layers", "ScannedLayers.judge")
    assert not is_defined("scanning.analyze", "ImageAnalyzer")


def test_the_change_log_has_the_version_and_each_version_once() -> None:
    versions = re.findall(r"^## (\d+\.\d+\.\d+)", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert VERSION in versions
    assert versions == sorted(set(versions), key=lambda each: [*map(int, each.split("."))], reverse=True)


def test_the_hooks_before_a_commit_are_those_of_the_check_and_fetch_nothing() -> None:
    text = (ROOT / ".pre-commit-config.yaml").read_text()
    assert re.findall(r"- repo: (\S+)", text) == ["local"]
    assert set(re.findall(r"language: (\S+)", text)) == {"system"}
    commands = re.findall(r"entry: (\S+)", text)
    assert commands
    assert all(command.startswith(".venv/bin/") for command in commands)


def run_make(*arguments: str) -> str:
    return subprocess.run(["make", *arguments], cwd=ROOT, capture_output=True, text=True, check=True).stdout


def test_what_a_docstring_says_is_raised_is_a_class_that_there_is() -> None:
    known, raised = set(dir(builtins)), {}
    for package in APPS:
        for path in (ROOT / package).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.ClassDef):
                    known.add(node.name)
                elif isinstance(node, ast.ImportFrom):
                    known |= {name.asname or name.name for name in node.names}
                elif isinstance(node, ast.Attribute):
                    known.add(node.attr)
                if isinstance(node, ast.FunctionDef | ast.ClassDef):
                    for sentence in re.findall(r"[Rr]aises? ([^.(]*)", ast.get_docstring(node) or ""):
                        for name in re.findall(r"\b(?:[A-Z][a-z]+){2,}\b", sentence):
                            raised[name] = f"{path.relative_to(ROOT)}:{node.lineno}"
    assert len(raised) > 30
    assert {name: place for name, place in raised.items() if name not in known} == {}
