"""What may be seen: nothing until somebody says what; and whoever says "everything" is in a list here."""

from __future__ import annotations

import ast
import io
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from django.core.management import get_commands
from django.http import FileResponse, HttpRequest, HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.template.response import TemplateResponse
from django.test import Client, RequestFactory
from django.urls import reverse
from pytest_django import DjangoAssertNumQueries, Settings
from pytest_django.fixtures import DjangoCaptureOnCommitCallbacks

import manage
from console import visibility
from console.jobs import tasks as job_tasks
from console.jobs import ticks
from console.jobs.lease import Lease
from console.jobs.models import HealthProbe
from console.jobs.runner import run_queued_jobs
from console.jobs.thread_pool import run_jobs
from console.middleware import ScopeMiddleware
from console.models import Team, User
from console.support.site import ConsoleAdminSite
from console.visibility import EVERYTHING, Scope, VisibilityNotSet
from inventory.models import Tag
from inventory.sync.fetch_pool import FetchPool
from registries.connection_test import background_test
from registries.models import Registry
from tests import factories
from tests.people import person
from tests.scope_world import anew

ROOT = Path(__file__).resolve().parents[2]
APPS = ("console", "registries", "inventory", "scanning")
SOME = Scope(frozenset({1, 2}), person=3)


# --- the three states ----------------------------------------------------------------------------------------------
QUESTIONS: dict[str, Callable[[], object]] = {
    "what may be seen": visibility.current,
    "the key": visibility.key,
    "one registry": lambda: visibility.sees(1),
    "rows": Registry.objects.all,
    "rows that fit": lambda: Tag.objects.filter(name="v1"),
    "how many": Registry.objects.count,
    "a new row": lambda: Registry.objects.create(name="lab"),
    "what belongs to a row": lambda: Registry(pk=1).sync_runs.all(),
    "what belongs to many": lambda: Team(pk=1).registries.all(),
}


@pytest.mark.parametrize("question", QUESTIONS)
def test_where_nothing_is_set_every_question_raises_and_says_what_to_do(question: str) -> None:
    with pytest.raises(VisibilityNotSet, match=r"unrestricted\(\)"):
        anew(QUESTIONS[question])
    with visibility.set_to(None), pytest.raises(VisibilityNotSet):
        QUESTIONS[question]()


@pytest.mark.django_db
def test_no_rows_and_rows_that_are_nobodys_need_nothing_set() -> None:
    assert not anew(lambda: Registry.objects.none().exists())
    assert not anew(lambda: Registry._base_manager.exists())
    assert not anew(lambda: User.objects.exists())


@pytest.mark.django_db
def test_everything_is_all_rows_and_a_scope_those_of_its_registries() -> None:
    lab = factories.registry(name="lab")
    factories.registry(name="other")
    with visibility.unrestricted():
        assert (Registry.objects.count(), visibility.key(), visibility.current()) == (2, "", None)
        assert visibility.sees(lab.pk)
        assert visibility.sees(None)
    with visibility.set_to(Scope(frozenset({lab.pk}))):
        assert list(Registry.objects.all()) == [lab]
        assert visibility.sees(lab.pk)
        assert not visibility.sees(None)
        assert visibility.key()
    with visibility.set_to(Scope(frozenset())):
        assert not Registry.objects.exists()


def test_each_block_shows_what_it_says_alone_and_what_was_before_comes_back() -> None:
    with visibility.set_to(SOME):
        with visibility.unrestricted():
            assert visibility.current_visibility() is EVERYTHING
        with pytest.raises(ZeroDivisionError), visibility.set_to(Scope(frozenset())):
            raise ZeroDivisionError
        with visibility.set_to(None), pytest.raises(VisibilityNotSet):
            visibility.current_visibility()
        assert visibility.current_visibility() == SOME


@pytest.mark.django_db
def test_somebody_sees_everything_or_the_registries_of_the_own_teams_and_nobody_sees_nothing(
    django_assert_num_queries: DjangoAssertNumQueries,
) -> None:
    lab = factories.registry(name="lab")
    free, limited = person("viewer"), person("operator", limited=True)
    lab.teams.add(team := Team.objects.create(name="lab people"))
    limited.teams.add(team)
    with django_assert_num_queries(0):
        assert visibility.of(None) is None
        assert visibility.of(free) is EVERYTHING
    with django_assert_num_queries(1):
        assert visibility.of(limited) == Scope(frozenset({lab.pk}), person=limited.pk)


# --- threads -------------------------------------------------------------------------------------------------------
def in_a_thread(function: Callable[[], object]) -> Any:
    found: list[object] = []

    def call() -> None:
        try:
            found.append(function())
        except VisibilityNotSet as error:
            found.append(error)

    thread = threading.Thread(target=call)
    thread.start()
    thread.join()
    return found[0]


def test_a_thread_begins_with_nothing_set_unless_it_is_carried_there() -> None:
    with visibility.set_to(SOME):
        assert isinstance(in_a_thread(visibility.current_visibility), VisibilityNotSet)
        carried = visibility.carried(visibility.current_visibility)
    assert in_a_thread(carried) == SOME
    assert carried() == SOME
    assert visibility.current_visibility() is EVERYTHING, "and it leaves nothing behind"


def test_a_pool_shows_each_work_what_was_seen_where_it_was_submitted() -> None:
    with visibility.ThreadPool(max_workers=1) as pool:
        with visibility.set_to(SOME):
            some = pool.submit(visibility.current_visibility)
        everything = pool.submit(visibility.current_visibility)
        nothing = anew(pool.submit, visibility.current_visibility)
        assert (some.result(), everything.result()) == (SOME, EVERYTHING)
        with pytest.raises(VisibilityNotSet):
            nothing.result()


def test_the_threads_of_a_sync_see_what_its_job_sees() -> None:
    with visibility.set_to(SOME), FetchPool(threads=2, check=lambda: None) as pool:
        assert pool.call(visibility.current_visibility) == SOME
        assert list(pool.map(lambda _: visibility.current_visibility(), range(3))) == [SOME] * 3


def test_the_threads_that_work_jobs_off_see_what_the_runner_has_set() -> None:
    found: list[object] = []
    jobs = [lambda: found.append(visibility.current_visibility())] * 3

    def take(_waiting: object) -> Callable[[], None] | None:
        found.append(visibility.current_visibility())
        return jobs.pop() if jobs else None

    with visibility.set_to(SOME):
        run_jobs(take, threads=2, may_continue=lambda busy: not found or busy or bool(jobs), abort=lambda: None)
    assert len(found) > 3
    assert set(found) == {SOME}


@pytest.mark.django_db(transaction=True)
def test_the_thread_of_a_lease_sees_everything_as_its_job_does(settings: Settings) -> None:
    settings.JOB_TIMES = type(settings.JOB_TIMES)(poll=0.01, chain=0)
    found: list[object] = []
    looked = threading.Event()

    def look() -> None:
        found.append(visibility.current_visibility())
        looked.set()

    job = HealthProbe.objects.create(state="running", attempt=1)
    with Lease(job, 1, also=look):
        assert looked.wait(20)
    assert found[0] is EVERYTHING


def test_a_connection_test_sees_what_the_person_sees_who_has_started_it(
    db: None,
    monkeypatch: pytest.MonkeyPatch,
    django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks,
) -> None:
    found: list[object] = []
    done = threading.Event()

    def look(*_arguments: object) -> None:
        found.append(visibility.current_visibility())
        done.set()

    monkeypatch.setattr(background_test, "_diagnose_into_row", look)
    registry, user = factories.registry(), person("operator")
    scope = Scope(frozenset({registry.pk}), person=user.pk)
    with visibility.set_to(scope), django_capture_on_commit_callbacks(execute=True):
        background_test.start_connection_test(registry=registry, user=user, saved=True)
    assert done.wait(20)
    assert found == [scope]


# --- streams -------------------------------------------------------------------------------------------------------
def test_what_is_streamed_is_made_as_where_the_stream_began_and_shows_its_reader_nothing() -> None:
    def parts() -> Iterator[object]:
        yield visibility.current_visibility()
        yield visibility.current_visibility()

    with visibility.set_to(SOME):
        stream = visibility.streamed(parts())
    with visibility.set_to(None):
        assert next(stream) == SOME
        with pytest.raises(VisibilityNotSet):
            visibility.current_visibility()
    assert in_a_thread(lambda: list(stream)) == [SOME]


# --- requests ------------------------------------------------------------------------------------------------------
def answer(user: object, view: Callable[[HttpRequest], HttpResponseBase]) -> HttpResponseBase:
    request = RequestFactory().get("/")
    request.user = user  # type: ignore[assignment]
    return ScopeMiddleware(view)(request)


@pytest.mark.django_db
def test_the_middleware_shows_each_request_what_its_person_sees_whatever_was_set_before() -> None:
    found: list[object] = []

    def view(_request: HttpRequest) -> HttpResponse:
        found.append(visibility._current.get())
        return HttpResponse()

    limited = person("operator", limited=True)
    for before in (None, EVERYTHING, SOME):
        for user in (person("viewer", username=f"{before}"), limited, None):
            with visibility.set_to(before):
                answer(user, view)
                assert visibility._current.get() is before
    assert found == [EVERYTHING, Scope(frozenset(), person=limited.pk), None] * 3


@pytest.mark.django_db
def test_a_page_without_the_middleware_shows_nothing_but_raises(settings: Settings) -> None:
    client = Client()
    client.force_login(person("administrator"))
    assert client.get(reverse("inventory:image-list")).status_code == 200
    settings.MIDDLEWARE = [name for name in settings.MIDDLEWARE if "ScopeMiddleware" not in name]
    client = Client()
    client.force_login(User.objects.get())
    with pytest.raises(VisibilityNotSet):
        client.get(reverse("inventory:image-list"))


@pytest.mark.django_db
def test_what_a_response_streams_is_what_its_person_sees() -> None:
    lab, user = factories.registry(name="lab"), person("viewer", limited=True)
    factories.registry(name="other")
    lab.teams.add(team := Team.objects.create(name="lab people"))
    user.teams.add(team)

    def view(_request: HttpRequest) -> HttpResponseBase:
        return StreamingHttpResponse(row.name for row in _each(Registry))

    stream = answer(user, view)
    assert isinstance(stream, StreamingHttpResponse)
    assert anew(b"".join, stream) == b"lab"  # type: ignore[arg-type]
    raises = answer(None, view)
    with pytest.raises(VisibilityNotSet):
        anew(list, raises)


@pytest.mark.django_db
def test_a_file_is_left_to_the_server_which_may_send_it_in_larger_parts() -> None:
    response = answer(person("viewer", limited=True), lambda _request: FileResponse(io.BytesIO(b"rows")))
    assert isinstance(response, FileResponse)
    assert response.file_to_stream is not None
    assert b"".join(response) == b"rows"  # type: ignore[arg-type]


def _each(model: Any) -> Iterator[Any]:
    yield from model.objects.all()


@pytest.mark.django_db
def test_django_admin_shows_everything_to_those_it_lets_in_and_lets_nobody_in_who_is_limited() -> None:
    found: list[object] = []

    def view(request: HttpRequest) -> HttpResponseBase:
        found.append(visibility.current_visibility())
        response = TemplateResponse(request, "admin/404.html", {})
        response.add_post_render_callback(lambda _response: found.append(visibility.current_visibility()))
        return response

    page = ConsoleAdminSite().admin_view(view)
    request = RequestFactory().get("/admin/")
    request.user = person("administrator", is_staff=True)
    anew(page, request)
    assert found == [EVERYTHING] * 2, "in the view, and where its template asks for rows"
    request.user = person("operator", is_staff=True, limited=True)
    with visibility.set_to(SOME):
        assert page(request).status_code == 302
    assert len(found) == 2


# --- what no person looks at ---------------------------------------------------------------------------------------
@pytest.mark.django_db(transaction=True)
def test_a_job_and_a_tick_see_everything_wherever_they_are_called(monkeypatch: pytest.MonkeyPatch) -> None:
    found: list[object] = []

    def look(*_arguments: object) -> None:
        found.append(visibility.current_visibility())

    job = HealthProbe.objects.create()
    anew(run_queued_jobs, HealthProbe, job.pk, look)
    monkeypatch.setattr("console.jobs.reaper.sweep_scratch", look)
    monkeypatch.setattr(ticks.JOB_TICKS, "items", lambda: [("look", look)])
    anew(job_tasks.tick)
    assert found == [EVERYTHING] * 3


def test_a_command_sees_everything_and_a_program_of_the_console_begins_with_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    found: dict[str, object] = {}

    def execute(arguments: list[str]) -> None:
        found[arguments[1]] = visibility._current.get()

    monkeypatch.setattr("django.core.management.execute_from_command_line", execute)
    for name in get_commands():
        monkeypatch.setattr(sys, "argv", ["manage.py", name])
        anew(manage.main)
    programs = {"serve", "worker", "runserver"}
    assert {name for name, seen in found.items() if seen is not EVERYTHING} == programs
    assert {found[name] for name in programs} == {None}


def test_nothing_asks_for_rows_when_it_is_imported() -> None:
    """What is asked for then would be asked for nobody, and kept."""
    names = [
        ".".join(path.relative_to(ROOT).with_suffix("").parts)
        for app in APPS
        for path in sorted((ROOT / app).rglob("*.py"))
        if "migrations" not in path.parts
    ]
    program = f"import django, importlib\ndjango.setup()\nfor name in {names!r}: importlib.import_module(name)"
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stderr[-2000:]


# --- who says what -------------------------------------------------------------------------------------------------
# Every use in the product. A new one is a decision: is nothing of what it finds shown to somebody who is limited?
UNRESTRICTED = {
    "manage.main": "commands: whoever may type one has the database",
    "console.jobs.runner.run_queued_jobs": "jobs; those that work for somebody narrow it",
    "console.jobs.reaper.reap": "the reaper",
    "console.jobs.ticks.run_ticks": "ticks",
    "scanning.tasks.fire": "due times of schedules, which nobody has asked for",
    "console.support.site._showing_everything.everything": "Django admin, which admits nobody who is limited",
    "registries.views.webhooks.ingest_event": "reports of registries, which come from no person",
    "console.db.compiled_queries.CompiledQuery.rows": "SQL that is made once for all",
    "scanning.models.run.ScanRun.state_changed": "a run is over for everybody",
    "scanning.models.scan.Scan.state_changed": "the summary of an image is one for all",
    "scanning.models.scan.Scan.states_changed": "likewise",
    "demo.run.run": "the demo, which makes its own registry",
    "demo.inventory.__main__": "a made-up inventory",
}
EVERYTHING_AS_A_VALUE = {
    "inventory.dashboard.trend.write_snapshots": "the day is written for everybody, and for each limit",
    "scanning.models.run.ScanRun.visible_to_starter": "a run that nobody with a limit has started",
}
SET_TO = {
    "console.middleware.ScopeMiddleware.__call__": "requests",
    "console.exports.make.make_export": "an export holds what its owner sees",
    "scanning.runs.start.queue_run": "a run scans what its starter saw",
    "inventory.dashboard.trend.write_snapshots": "as above",
}
CARRIED = "what is seen is carried there"
# Threads in the product, but those of a visibility.ThreadPool, which carries it too.
THREADS = {
    "console.jobs.lease.Lease.__init__": CARRIED,
    "console.jobs.thread_pool._ThreadPool.start_thread": CARRIED,
    "registries.connection_test.background_test.start_connection_test": CARRIED,
    "scanning.engines.trivy.batcher.Batcher.ask": "engines ask for no rows",
    "scanning.engines.trivy.server.MatchServer._watch_idle": "engines ask for no rows",
    "scanning.fleet.versions.tick": CARRIED,
    "scanning.health.EngineStatusCache.ready": "engines ask for no rows",
}


def modules() -> Iterator[tuple[str, ast.Module]]:
    """Yield the name and the syntax tree of each module of the product."""
    sources = [ROOT / "manage.py", *(path for app in (*APPS, "demo") for path in sorted((ROOT / app).rglob("*.py")))]
    for source in sources:
        module = ".".join(source.relative_to(ROOT).with_suffix("").parts)
        if module != "console.visibility":
            yield module, ast.parse(source.read_text("utf-8"))


def places() -> Iterator[tuple[str, str]]:
    """Yield what the product imports, calls, inherits and names, and where: module, class and function."""
    for module, tree in modules():
        yield from _within(tree, module)


def _within(node: ast.AST, place: str) -> Iterator[tuple[str, str]]:
    if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
        place = f"{place}.{node.name}"
    if isinstance(node, ast.ClassDef):
        yield from ((f"{ast.unparse(base)}()", place) for base in node.bases)
    elif isinstance(node, ast.ImportFrom):
        yield from ((f"from {node.module} import {alias.name}", place) for alias in node.names)
    elif isinstance(node, ast.Call):
        yield f"{ast.unparse(node.func)}()", place
    elif isinstance(node, ast.Attribute):
        yield ast.unparse(node), place
    for child in ast.iter_child_nodes(node):
        yield from _within(child, place)


def test_whoever_says_what_may_be_seen_is_in_the_list() -> None:
    found: dict[str, set[str]] = {name: set() for name in ("unrestricted", "EVERYTHING", "set_to", "_current")}
    for what, where in places():
        if (name := what.removeprefix("visibility.")) in found and name != what:
            found[name].add(where)
        module, _, name = what.removeprefix("from ").partition(" import ")
        assert not (module == "console.visibility" and name in found), f"{where}: write visibility.{name}"
    assert found["unrestricted"] == UNRESTRICTED.keys()
    assert found["EVERYTHING"] == EVERYTHING_AS_A_VALUE.keys()
    assert found["set_to"] == SET_TO.keys()
    assert not found["_current"]


def own_nodes(function: ast.AST) -> Iterator[ast.AST]:
    """Yield what lies in a function, but not in a function within it."""
    for child in ast.iter_child_nodes(function):
        yield child
        if not isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            yield from own_nodes(child)


def test_no_generator_says_what_may_be_seen_for_it_would_hold_for_whoever_consumes_it() -> None:
    found = set()
    for module, tree in modules():
        for function in ast.walk(tree):
            if isinstance(function, ast.FunctionDef):
                nodes = list(own_nodes(function))
                names = {ast.unparse(node.func) for node in nodes if isinstance(node, ast.Call)}
                if names & {"visibility.set_to", "visibility.unrestricted"}:
                    yields = any(isinstance(node, ast.Yield | ast.YieldFrom) for node in nodes)
                    found.add((f"{module}.{function.name}", yields))
    assert len(found) > 10, "else this finds nothing"
    assert not [name for name, yields in found if yields]


def test_every_thread_is_in_the_list() -> None:
    starts = {"Thread()", "Timer()", "ThreadPoolExecutor()", "start_new_thread()"}
    ours = [(what, where) for what, where in places() if where.startswith(APPS)]
    assert {where for what, where in ours if what.rpartition(".")[2] in starts} == THREADS.keys()
    carried = {where for where, why in THREADS.items() if why == CARRIED}
    assert {where for what, where in ours if what == "visibility.carried"} == carried
