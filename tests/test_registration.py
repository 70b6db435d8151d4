"""What the apps register in AppConfig.ready(): each entry is of use, none comes twice, none is a dotted string."""

from __future__ import annotations

import ast
import logging
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.urls import get_resolver
from django.utils.module_loading import import_string

from console import visibility
from console.accounts import outbound_http
from console.db.cached_counts import CACHED_COUNTS
from console.db.trigram_indexes import SEARCH_INDEXES
from console.extension_points import ExtensionPoint, SingleExtensionPoint, path_of
from console.feedback.undo import UNDO_ACTIONS
from console.jobs import heartbeat, kinds
from console.jobs.kinds import JOB_KINDS
from console.jobs.models import Job
from console.jobs.ticks import JOB_TICKS
from console.jobs.worker_checks import WORKER_CHECKS
from console.listing.registered_listings import LISTINGS
from console.machines.keys import MACHINE_KEYS
from console.server.health import HEALTH_CHECKS
from console.server.installation_checks import SECURITY_CHECKS
from inventory.dashboard.figures import SIGNALS
from inventory.filters import COVERAGE

APPS = ("console", "registries", "inventory", "scanning")
ROOT = Path(__file__).resolve().parents[1]
FUNCTIONS = {
    "ticks": JOB_TICKS,
    "checks of workers": WORKER_CHECKS,
    "keys": MACHINE_KEYS,
    "health checks": HEALTH_CHECKS,
    "security checks": SECURITY_CHECKS,
    "counts": CACHED_COUNTS,
    "actions to undo": UNDO_ACTIONS,
    "signals": SIGNALS,
}
# Django's own settings and those of its apps, which take dotted paths and nothing else.
TAKE_PATHS = {
    "INSTALLED_APPS",
    "MIDDLEWARE",
    "ROOT_URLCONF",
    "WSGI_APPLICATION",
    "TEMPLATES",
    "TEMPLATE_LOADERS",
    "AUTH_USER_MODEL",
    "AXES_CLIENT_IP_CALLABLE",
    "AXES_LOCKOUT_CALLABLE",
    "SOCIALACCOUNT_ADAPTER",
    "ACCOUNT_ADAPTER",
    "MFA_ADAPTER",
    "CSRF_FAILURE_VIEW",
    "FORMAT_MODULE_PATH",
    "STORAGES",
}
OURS = re.compile(r"(console|registries|inventory|scanning)([.:][\w-]+)+")


@pytest.mark.parametrize("name", FUNCTIONS)
def test_each_table_holds_functions(name: str) -> None:
    table: ExtensionPoint[Any] = FUNCTIONS[name]  # type: ignore[assignment]
    assert table
    assert all(callable(entry) for entry in table.values())
    assert len(set(table.values())) == len(table)


def test_what_takes_the_place_of_one_thing_is_there() -> None:
    assert callable(visibility.REGISTRIES_OF.get())
    assert callable(outbound_http.session().get)
    assert all(callable(each) for each in (COVERAGE.get().choices, COVERAGE.get().condition))
    assert all(on.startswith('ON "') for on in SEARCH_INDEXES.values())


def test_every_model_of_jobs_is_a_kind_and_every_kind_has_its_model() -> None:
    def below(model: type[Job]) -> set[type[Job]]:
        return {model, *(found for each in model.__subclasses__() for found in below(each))}

    assert {kind.model for kind in kinds.kinds()} == below(Job) - {Job}
    assert {kind.cluster for kind in kinds.kinds()} == {"quick", "scan"}


@pytest.mark.django_db
@pytest.mark.parametrize("name", JOB_KINDS)
def test_what_the_queue_calls_for_a_kind_takes_jobs_of_its_model(
    name: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    kind = kinds.get(name)
    assert import_string(path_of(kind.run)) is kind.run, "a message carries its path"
    monkeypatch.setattr(heartbeat, "is_draining", lambda: True)
    with caplog.at_level(logging.INFO, logger="console.jobs.runner"):
        kind.run(7)
    assert f"{name} 7 stays in the queue" in caplog.text


@pytest.mark.parametrize("name", LISTINGS)
def test_each_list_is_found_by_its_name_and_has_the_pages_it_says(name: str) -> None:
    registered = LISTINGS[name]
    assert registered.listing.name == name
    patterns = {
        f"{space}:{view}"
        for space, (_path, resolver) in get_resolver().namespace_dict.items()
        for view in resolver.reverse_dict
        if isinstance(view, str)
    }
    assert {registered.page, registered.drawer_page} - {""} <= patterns


def test_what_is_registered_twice_is_a_mistake() -> None:
    table: ExtensionPoint[int] = ExtensionPoint("number")
    table.register("one", 1)
    with pytest.raises(ImproperlyConfigured, match="The number 'one' is registered twice"):
        table.register("one", 2)
    assert dict(table) == {"one": 1}
    single: SingleExtensionPoint[int] = SingleExtensionPoint("only number")
    with pytest.raises(ImproperlyConfigured, match="No app has registered the only number"):
        single.get()
    single.register(1)
    with pytest.raises(ImproperlyConfigured, match="The only number is registered twice"):
        single.register(2)
    assert single.get() == 1


@pytest.mark.parametrize("app", APPS)
def test_no_app_can_register_its_table_a_second_time(app: str) -> None:
    register: Callable[[], None] = import_string(f"{app}.registration.register")
    with pytest.raises(ImproperlyConfigured, match="registered twice"):
        register()


def test_entries_come_by_their_order_and_then_as_they_were_registered() -> None:
    table: ExtensionPoint[str] = ExtensionPoint("letter")
    for name, order in (("a", 9), ("z", 0), ("b", 0), ("k", 5)):
        table.register(name, name.upper(), order=order)
    assert list(table.values()) == ["Z", "B", "K", "A"]


def test_another_table_lasts_as_long_as_its_block() -> None:
    table: ExtensionPoint[int] = ExtensionPoint("number")
    table.register("one", 1)
    with suppress(OSError), table.overridden({**table, "two": 2}):
        assert dict(table) == {"one": 1, "two": 2}
        raise OSError
    assert dict(table) == {"one": 1}


def test_nothing_registers_itself_when_it_is_imported() -> None:
    """All entries come from the functions that AppConfig.ready() calls: see the modules named registration."""
    for app in APPS:
        for path in (path for path in (ROOT / app).rglob("*.py") if path.name != "admin.py"):  # Django's own
            for statement in ast.parse(path.read_text(encoding="utf-8")).body:
                if not isinstance(statement, ast.FunctionDef | ast.ClassDef):
                    assert not list(registers(statement)), f"{path}:{statement.lineno}"


def registers(tree: ast.AST) -> Iterator[ast.Call]:
    """Yield the calls of ``register()`` in ``tree``."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "register":
            yield node


def paths_in(source: str) -> set[str]:
    """Return the dotted paths and URL names of ours in settings that are not Django's."""
    found = set()
    for statement in ast.parse(source).body:
        targets = getattr(statement, "targets", [getattr(statement, "target", None)])
        names = {target.id for target in targets if isinstance(target, ast.Name)}
        for node in ast.walk(statement):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and OURS.fullmatch(node.value):
                found |= {node.value} if not names & TAKE_PATHS else set()
    return found


def test_settings_name_nothing_of_ours_that_django_does_not_ask_for() -> None:
    found = paths_in((ROOT / "console" / "settings.py").read_text(encoding="utf-8"))
    pages = {"console:sign-in", "console:home"}  # LOGIN_URL and the like
    assert found - pages == {"console.settings"}


def test_a_dotted_path_in_the_settings_is_seen() -> None:
    assert paths_in('JOB_TICKS: list[str] = ["scanning.rematch.run.tick"]') == {"scanning.rematch.run.tick"}
    assert paths_in('PAGES = {"a": {"page": "scanning:run-list"}}') == {"scanning:run-list"}
    assert not paths_in('MIDDLEWARE = ["console.middleware.NoStoreMiddleware"]')


def test_the_console_can_be_checked_without_a_database(tmp_path: Path) -> None:
    environment = {
        "PATH": "/usr/bin:/bin",
        "TALLYMAN_DATA": str(tmp_path),
        "DATABASE_URL": "postgresql://nobody@127.0.0.1:1/none",
    }
    done = subprocess.run(
        [sys.executable, str(ROOT / "manage.py"), "check"], env=environment, capture_output=True, text=True, timeout=100
    )
    assert (done.returncode, "no issues" in done.stdout) == (0, True), done.stderr
