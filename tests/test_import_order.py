"""The line of the apps (design: "Must never import"), read from the source of every module, functions included."""

from __future__ import annotations

import ast
import functools
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
APPS = ("console", "registries", "inventory", "scanning")  # each may import those before it
# Within an app too, arrows point one way: each package, and each module beside the packages, imports those that stand
# before it in its line. So no two import each other.
LINES = {
    "console": (
        *("processes", "i18n", "resource_exhaustion", "secret_keys", "extension_points", "sandbox", "audit"),
        *("visibility", "accounts", "db", "jobs", "machines", "feedback", "listing", "exports", "server"),
        *("middleware", "settings", "models", "pages", "templatetags", "support", "admin", "registration"),
        *("apps", "wsgi", "urls", "management", "migrations"),
    ),
    "registries": (
        *("messages", "addresses", "credential_encryption", "oci", "connectors", "chosen", "models", "visibility"),
        *("login_guard", "pull_limit", "request_removal", "sync_requests", "vendor_addresses"),
        *("credential_columns", "clients", "client_pool", "outbound_http", "forms", "tables", "webhooks"),
        *("cloud_accounts", "connection_test", "templatetags", "tasks", "views", "installation_checks"),
        *("admin", "registration", "apps", "urls", "management", "migrations"),
    ),
    "inventory": (
        *("messages", "search_indexes", "models", "image_summary", "content", "dashboard"),
        *("filters", "image_detail", "tables", "templatetags", "sync", "remove_registry", "tasks", "views"),
        *("admin", "registration", "apps", "urls", "management", "migrations"),
    ),
    "scanning": (
        *(
            "search_indexes",
            "engines",
            "models",
            "layers",
            "rules",
            "vulndb",
            "configured_engines",
            "fleet",
            "findings",
        ),
        *("rematch", "exposure", "alerts", "runs", "schedules", "execution", "health", "installation_checks"),
        *("templatetags", "tasks", "views", "admin", "registration", "apps", "urls", "management"),
        *("migrations",),
    ),
}
DJANGO = ("django", "django_q", "django_htmx", "django_filters")
NETWORK = ("requests", "urllib3", "http.client", "urllib.request", "httpx", "redis", "psycopg")
WEB = ("views", "forms", "tables", "tasks")


@functools.cache
def modules() -> dict[str, ast.Module]:
    """Return the syntax tree of each module of the four apps by its dotted name."""
    found = {}
    for app in APPS:
        for path in sorted((ROOT / app).rglob("*.py")):
            parts = path.relative_to(ROOT).with_suffix("").parts
            name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
            found[name] = ast.parse(path.read_text(encoding="utf-8"), filename=str(path))
    return found


def imports(module: str, tree: ast.Module) -> Iterator[str]:
    """Return the dotted name of whatever ``module`` imports; names taken from a package count as ``package.name``."""
    package = module if (ROOT / Path(*module.split(".")) / "__init__.py").exists() else module.rpartition(".")[0]
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            source = ".".join([*base, *([node.module] if node.module else [])])
            yield from (f"{source}.{alias.name}" for alias in node.names)
        elif (
            isinstance(node, ast.Call)
            and getattr(node.func, "attr", getattr(node.func, "id", "")) in {"import_module", "__import__"}
            and node.args
            and isinstance(node.args[0], ast.Constant)
        ):
            yield str(node.args[0].value)


def below(name: str, *packages: str) -> bool:
    """Whether ``name`` is one of ``packages`` or lies in it."""
    return any(name == package or name.startswith(f"{package}.") for package in packages)


def unit(name: str) -> str:
    """Return the package, or the module beside the packages, of an app that ``name`` belongs to; "" for the app."""
    return ".".join(name.split(".")[1:2])


def breaches(module: str, name: str) -> Iterator[str]:
    """Return why ``module`` must not import ``name``; nothing where it may."""
    app, parts = module.split(".")[0], module.split(".")
    right = APPS[APPS.index(app) + 1 :]
    if below(name, *right):
        yield f"{app} is left of {name.split('.')[0]}"
    if below(name, app) and name != app and (own := unit(module)) != (other := unit(name)):
        line = LINES[app]
        if own and (other not in line or line.index(other) > line.index(own)):
            yield f"in {app}, {other or name} does not stand before {own}"
    if "models" in parts and below(name, *APPS) and set(name.split(".")) & set(WEB):
        yield "models know no pages and no tasks"
    if "views" in parts and below(name, "registries.oci", "scanning.engines"):
        yield "views know neither the distribution client nor engines"
    if below(name, "django_q") and module not in {"console.jobs.broker", "console.jobs.notifying_broker"}:
        yield "only console.jobs.broker speaks with django-q2"
    if below(name, "openpyxl") and module != "console.listing.workbook":
        yield "only console.listing.workbook speaks with openpyxl"


def reached(start: str) -> set[str]:
    """Return the modules of ours that are loaded with ``start``: what it imports, what that imports, and packages."""
    found: set[str] = set()
    todo = [start]
    while todo:
        module = todo.pop()
        if module in found:
            continue
        found.add(module)
        for name in [module, *imports(module, modules()[module])]:
            parts = name.split(".")
            todo += [known for end in range(1, len(parts) + 1) if (known := ".".join(parts[:end])) in modules()]
    return found


def impurities(start: str, *forbidden: str) -> set[str]:
    """Return how ``start`` comes to import one of ``forbidden``, directly or through other modules of ours."""
    return {
        f"{start} loads {module}, which imports {name}"
        for module in reached(start)
        for name in imports(module, modules()[module])
        if below(name, *forbidden)
    }


def test_nothing_imports_what_it_must_not() -> None:
    wrong = {
        f"{module} imports {name}: {why}"
        for module, tree in modules().items()
        if "migrations" not in module.split(".")
        for name in imports(module, tree)
        for why in breaches(module, name)
    }
    assert not wrong, "\n".join(sorted(wrong))


def test_the_distribution_client_knows_no_django() -> None:
    wrong = [way for module in modules() if below(module, "registries.oci") for way in impurities(module, *DJANGO)]
    assert not wrong, "\n".join(sorted(wrong))


def test_engines_know_no_database_no_network_and_no_queue() -> None:
    engines = [module for module in modules() if below(module, "scanning.engines")]
    wrong = [way for module in engines for way in impurities(module, *DJANGO, *NETWORK)]
    assert not wrong, "\n".join(sorted(wrong))


def test_processes_and_the_sandbox_know_neither_django_nor_jobs() -> None:
    packages = [module for module in modules() if below(module, "console.processes", "console.sandbox")]
    assert len(packages) > 6
    wrong = [way for module in packages for way in impurities(module, *DJANGO, "console.jobs")]
    assert not wrong, "\n".join(sorted(wrong))


def test_an_import_through_others_is_seen() -> None:
    assert impurities("console.management.commands.worker", "django_q")
    assert "console.sandbox" in reached("console.sandbox.run")
    assert not impurities("console.sandbox.run", *DJANGO)


@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("console.jobs.reaper", "inventory.models"),
        ("console.jobs.reaper", "console.exports.models"),
        ("scanning.engines.base", "scanning.layers.layer_store"),
        ("inventory.models.content", "inventory.sync.sync_registry"),
        ("registries.pull_limit", "scanning"),
        ("inventory.sync.sync_registry", "scanning.models.scan"),
        ("inventory.models.content", "inventory.tables"),
        ("scanning.models.scan", "scanning.tasks"),
        ("registries.views", "registries.oci.client"),
        ("scanning.views", "scanning.engines.base"),
        ("scanning.schedules.scheduler", "django_q.models"),
        ("inventory.tables", "openpyxl"),
    ],
)
def test_a_forbidden_import_is_seen(module: str, name: str) -> None:
    assert list(breaches(module, name))


@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("scanning.execution.pipeline", "inventory.models"),
        ("console.jobs.broker", "django_q.tasks"),
        ("console.listing.workbook", "openpyxl"),
        ("scanning.execution.pipeline", "scanning.engines.base"),
    ],
)
def test_an_allowed_import_is_let_be(module: str, name: str) -> None:
    assert not list(breaches(module, name))


def test_each_package_has_its_place_in_the_line_of_its_app() -> None:
    there = {(module.split(".")[0], unit(module)) for module in modules() if unit(module)}
    assert there == {(app, each) for app, line in LINES.items() for each in line}
    assert all(len(line) == len(set(line)) for line in LINES.values())


@pytest.mark.parametrize("app", ["console", "scanning"])
def test_few_modules_lie_beside_the_packages(app: str) -> None:
    beside = [path.name for path in (ROOT / app).glob("*.py") if path.name != "__init__.py"]
    assert len(beside) <= 12, beside


def test_nothing_of_the_product_imports_the_demo() -> None:
    wrong = [module for module, tree in modules().items() for name in imports(module, tree) if below(name, "demo")]
    assert not wrong


def test_imports_are_found_wherever_they_stand() -> None:
    source = """
import a.b
from c import d
from . import e
from ..f import g
def later():
    from h.i import j
importlib.import_module("k.l")
"""
    found = set(imports("console.jobs.reaper", ast.parse(source)))
    assert {"a.b", "c.d", "console.jobs.e", "console.f.g", "h.i.j", "k.l"} <= found


def test_all_modules_of_the_apps_are_read() -> None:
    assert {"console.settings", "registries.models.registry", "scanning.engines.base"} <= modules().keys()
