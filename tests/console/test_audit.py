"""The audit trail."""

import pytest
from django.contrib.admin import site
from django.test import Client, RequestFactory

from console import audit
from console.models import AuditEvent
from tests.people import person

pytestmark = pytest.mark.django_db


def test_an_event_says_who_from_where_what_and_on_what() -> None:
    request = RequestFactory().post("/", REMOTE_ADDR="10.1.2.3")
    request.user = person()
    event = audit.record(request, "registry.add", "lab", {"limit": 20})
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
    audit.record(user, "scan.start")
    user.delete()
    event = AuditEvent.objects.get()
    assert (event.actor, event.actor_name) == (None, "viewer")


def test_a_long_target_is_cut_and_the_console_itself_may_act() -> None:
    assert len(audit.record(None, "sync.start", "x" * 1000).target) == 300


def test_nobody_changes_the_trail_in_django_admin() -> None:
    event = audit.record(None, "sync.start")
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
