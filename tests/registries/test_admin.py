"""Django admin of registries: support staff read everything but credentials, and change nothing."""

from __future__ import annotations

import pytest
from django.contrib.admin import site
from django.test import Client
from django.urls import reverse

from registries.models import Registry, Removal, SyncRun
from tests.people import person

pytestmark = pytest.mark.django_db


@pytest.fixture
def staff(client: Client) -> Client:
    client.force_login(person("administrator", is_staff=True, is_superuser=True))
    return client


@pytest.fixture
def lab() -> Registry:
    registry = Registry(name="lab", address="https://registry.example.com", username="robot", pull_username="1000")
    registry.set_password("planted-s3cret")
    registry.set_pull_password("planted-pull-s3cret")
    registry.save()
    registry.record_sync(SyncRun.objects.create(registry=registry, state="failed", reason="It said no."))
    Removal.objects.create(name="gone", state="succeeded")
    return registry


def urls() -> list[str]:
    return [
        url
        for model in (Registry, SyncRun, Removal)
        for url in (
            reverse(f"admin:registries_{model._meta.model_name}_changelist"),
            reverse(f"admin:registries_{model._meta.model_name}_change", args=[model._default_manager.get().pk]),
        )
    ]


def test_no_page_shows_a_credential_in_plain_text_or_encrypted(staff: Client, lab: Registry) -> None:
    for url in urls():
        answer = staff.get(url)
        assert answer.status_code == 200
        for secret in ("planted-s3cret", "planted-pull-s3cret", lab.password_token, lab.pull_password_token):
            assert secret not in answer.content.decode()


def test_nothing_can_be_added_changed_or_deleted(staff: Client, lab: Registry) -> None:
    chosen = {"action": "delete_selected", "_selected_action": [lab.pk], "post": "yes"}
    for url in urls():
        staff.post(url, {"name": "changed", **chosen})
    for model in ("registry", "syncrun", "removal"):
        assert staff.get(reverse(f"admin:registries_{model}_add")).status_code == 403
    lab.refresh_from_db()
    assert (lab.name, SyncRun.objects.count(), Removal.objects.count()) == ("lab", 1, 1)


def test_columns_are_shown_one_by_one_so_that_a_new_one_is_not_by_itself() -> None:
    shown = {name for _, group in site.get_model_admin(Registry).fieldsets or () for name in group["fields"]}
    columns = {field.name for field in Registry._meta.concrete_fields}
    assert {"password_token", "pull_password_token", "refused_login"} <= columns - shown


def test_support_staff_read_why_a_sync_failed(staff: Client, lab: Registry) -> None:
    url = reverse("admin:registries_syncrun_change", args=[SyncRun.objects.get().pk])
    assert "It said no." in staff.get(url).content.decode()
