"""The audit trail."""

import ast
import re
from datetime import timedelta
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from django.contrib.admin import site
from django.db import connection
from django.test import Client, RequestFactory
from django.utils import timezone
from openpyxl import load_workbook

from console.audit import trail
from console.models import AppendOnlyError, AuditEvent
from tests.people import person

pytestmark = pytest.mark.django_db

ROOT = Path(__file__).resolve().parents[3]


def test_an_event_says_who_from_where_what_and_on_what() -> None:
    request = RequestFactory().post("/", REMOTE_ADDR="10.1.2.3")
    request.user = person()
    event = trail.record(request, "registry.add", "lab", {"limit": 20})
    event.refresh_from_db()
    assert (event.actor_name, event.address, event.action, event.target, event.detail) == (
        "viewer",
        "10.1.2.3",
        "registry.add",
        "lab",
        {"limit": 20},
    )


def test_an_event_outlives_its_actor() -> None:
    user = person()
    trail.record(user, "scan.start")
    number = user.pk
    user.delete()
    event = AuditEvent.objects.get()
    assert (event.actor_id, event.actor_name) == (number, "viewer")


def test_a_long_target_is_cut_and_the_console_itself_may_act() -> None:
    assert len(trail.record(None, "sync.start", "x" * 1000).target) == 300


def test_nobody_changes_the_trail_in_django_admin() -> None:
    event = trail.record(None, "sync.start")
    client = Client()
    client.force_login(person("administrator", is_staff=True, is_superuser=True))
    url = f"/admin/console/auditevent/{event.pk}/change/"
    assert client.get(url).status_code == 200
    assert client.post(url, {"action": "nothing"}).status_code == 403
    assert client.post(url.replace("change", "delete"), {"post": "yes"}).status_code == 403
    assert client.get("/admin/console/auditevent/add/").status_code == 403
    assert AuditEvent.objects.get(pk=event.pk).action == "sync.start"


def test_django_admin_opens_for_every_model_of_ours() -> None:
    client = Client()
    client.force_login(person("administrator", is_staff=True, is_superuser=True))
    for model in site._registry:
        if model._meta.app_label in {"console", "registries"}:
            assert client.get(f"/admin/{model._meta.app_label}/{model._meta.model_name}/").status_code == 200


def test_no_way_of_the_code_changes_or_removes_an_event() -> None:
    event = trail.record(None, "sync.start", "lab")
    event.target = "other"
    for attempt in (
        event.save,
        event.delete,
        AuditEvent.objects.all().delete,
        lambda: AuditEvent.objects.update(target="other"),
    ):
        with pytest.raises(AppendOnlyError):
            attempt()
    assert AuditEvent.objects.get().target == "lab"


@pytest.mark.parametrize("name", ["password", "secret_key", "token", "api_key", "Credentials", "passwd", "ca_bundle"])
def test_a_value_under_the_name_of_a_secret_is_not_kept(name: str) -> None:
    event = trail.record(
        None, "registry.edit", "lab", {name: "planted"}, before={name: "planted"}, after={"deep": {name: "planted 2"}}
    )
    event.refresh_from_db()
    assert "planted" not in f"{event.detail}{event.before}{event.after}"


def test_a_change_keeps_what_differs_and_nothing_else() -> None:
    event = trail.record(None, "registry.edit", before={"limit": 5, "name": "a"}, after={"limit": 20, "name": "a"})
    assert (event.before, event.after) == ({"limit": 5}, {"limit": 20})


def test_events_go_after_the_set_time_and_that_is_an_event_too(settings: Any) -> None:
    settings.AUDIT_DAYS = 30
    now = timezone.now()
    for days in (29, 31, 400):
        event = trail.record(None, "sync.start", days)
        with connection.cursor() as cursor:
            cursor.execute(
                "UPDATE console_auditevent SET at = %s WHERE id = %s", [now - timedelta(days=days), event.pk]
            )
    trail.expire_old_events()
    trail.expire_old_events()
    assert set(AuditEvent.objects.values_list("action", "target")) == {("sync.start", "29"), ("audit.expire", "")}
    settings.AUDIT_DAYS = 0
    trail.expire_old_events()
    assert AuditEvent.objects.count() == 2


def test_every_action_that_is_recorded_has_a_subject_to_filter_by() -> None:
    found = set()
    for app in ("console", "registries", "inventory", "scanning"):
        for path in (ROOT / app).rglob("*.py"):
            found |= actions_of(ast.parse(path.read_text()))
    assert {"undo", "rematch.start", "user.add", "registry.edit", "export.download", "sign-in"} <= found
    assert len(found) > 40
    assert {action.partition(".")[0] for action in found} == trail.SUBJECTS.keys(), "none is missing, and none is idle"


def test_every_action_says_on_screen_what_it_was() -> None:
    found = set()
    for app in ("console", "registries", "inventory", "scanning"):
        for path in (ROOT / app).rglob("*.py"):
            found |= actions_of(ast.parse(path.read_text()))
    by_admin = {f"{subject}.{verb}" for subject in ("admin", "team", "user") for verb in ("add", "edit", "delete")}
    assert (found - {"admin", "team", "user"}) | by_admin == trail.ACTIONS.keys(), "none is missing, and none is idle"
    client = Client()
    client.force_login(person("administrator", username="root", language="zh-hans"))
    trail.record(None, "schedule.change", "Nightly", {"on": True})
    trail.record(None, "export", "reach")
    html = client.get("/audit/").content.decode()
    assert 'title="schedule.change">更改定时任务<' in html
    assert ">漏洞<" in html
    assert "on: 是" in html
    assert client.get("/audit/?q=更改定时").context["page"].total.number == 1
    assert client.get("/audit/?q=schedule.ch").context["page"].total.number == 1


def actions_of(module: ast.Module) -> set[str]:
    """The actions that the code of ``module`` records: what stands in the call, or else what may be in its variable."""
    found = set()
    for call in (node for node in ast.walk(module) if isinstance(node, ast.Call)):
        if ast.unparse(call.func) not in {"trail.record", "record"} or len(call.args) < 2:
            continue
        words = texts(call.args[1])
        if isinstance(call.args[1], ast.Name):
            words = {text for text in texts(module) if re.fullmatch(r"[a-z-]+\.[a-z-]+", text)}
        elif isinstance(call.args[1], ast.JoinedStr):  # the subject stands in the class
            classes = [node for node in ast.walk(module) if isinstance(node, ast.Assign | ast.AnnAssign)]
            words = {text for node in classes if "subject" in ast.unparse(node) for text in texts(node)}
        assert words, ast.unparse(call)
        found |= words
    for kept in (node for node in ast.walk(module) if isinstance(node, ast.ClassDef)):  # they record elsewhere
        for line in kept.body:
            plain = isinstance(line, ast.Assign) and isinstance(line.value, ast.Constant)
            if plain and ast.unparse(line.targets[0]) == "subject":
                found |= texts(line)
    return found


def texts(tree: ast.AST) -> set[str]:
    return {node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str)}


def test_the_page_filters_and_exports_what_it_shows() -> None:
    client = Client()
    client.force_login(person("administrator", username="root"))
    trail.record(None, "registry.edit", "lab-<script>alert(1)</script>", before={"limit": 5}, after={"limit": 20})
    trail.record(None, "access.denied", "/audit/")
    html = client.get("/audit/?subject=registry").content.decode()
    assert "<script>alert(1)" not in html
    assert "lab-&lt;script&gt;" in html
    assert "access.denied" not in html
    assert "access.denied" in client.get("/audit/?outcome=refused").content.decode()
    answer = client.post("/audit/export/", {"all": "1", "view": "?subject=registry"})
    rows = list(load_workbook(BytesIO(answer.content)).active.values)
    assert len(rows) == 2
    assert "limit: 5 → 20" in rows[1]
    assert AuditEvent.objects.filter(action="export", target="audit", actor_name="root").count() == 1


def test_odd_characters_do_not_get_anybody_out_of_the_trail() -> None:
    client = Client()
    client.post("/sign-in/", {"username": "some\0body", "password": "x"})
    assert AuditEvent.objects.get(action="sign-in.refused").target == "some\ufffdbody"
    event = trail.record(None, "scan.start", "a\ud800", {"names": ["b\0", {"c": "d\udfff"}]})
    assert (event.target, event.detail) == ("a?", {"names": ["b\ufffd", {"c": "d?"}]})
