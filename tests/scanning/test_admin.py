"""Django admin of inventory, scanning and the queue: support staff can look at everything and change nothing."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib import admin
from django.test import Client
from django.urls import reverse

from tests import factories
from tests.people import person

pytestmark = pytest.mark.django_db
MODELS = [model for model in admin.site._registry if model._meta.app_label in {"inventory", "scanning", "django_q"}]


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.__name__)
def test_staff_can_list_and_search_but_neither_add_change_nor_delete(client: Client, model: Any) -> None:
    image = factories.image(**factories.scanned(critical=1))
    factories.tag(of=image)
    factories.vulnerability(image)
    factories.malware(image)
    factories.secret(image)
    factories.result(image, "vulnerabilities")
    staff = person("administrator", is_staff=True, is_superuser=True)
    client.force_login(staff, backend="django.contrib.auth.backends.ModelBackend")
    name = f"admin:{model._meta.app_label}_{model._meta.model_name}"
    assert client.get(reverse(f"{name}_changelist"), {"q": "sha256:ab"}).status_code == 200
    assert client.get(reverse(f"{name}_add")).status_code == 403
    row = model.objects.first()
    if row is not None:
        assert client.get(reverse(f"{name}_change", args=[row.pk])).status_code == 200
        assert client.post(reverse(f"{name}_change", args=[row.pk]), {}).status_code == 403
        assert client.post(reverse(f"{name}_delete", args=[row.pk]), {"post": "yes"}).status_code == 403


def test_staff_see_schedule_rows_and_can_have_nothing_called_by_them(client: Client) -> None:
    from django_q.models import Schedule

    row = Schedule.objects.create(func="scanning.tasks.fire", args="(1,)", name="scan schedule 1")
    client.force_login(
        person("administrator", is_staff=True, is_superuser=True), backend="django.contrib.auth.backends.ModelBackend"
    )
    assert "scan schedule 1" in client.get(reverse("admin:django_q_schedule_changelist")).content.decode()
    client.post(reverse("admin:django_q_schedule_add"), {"func": "os.system", "args": "('id',)"})
    client.post(reverse("admin:django_q_schedule_change", args=[row.pk]), {"func": "os.system"})
    client.post(
        reverse("admin:django_q_success_changelist"), {"action": "resubmit_task", "_selected_action": [str(row.pk)]}
    )
    assert list(Schedule.objects.values_list("func", flat=True)) == ["scanning.tasks.fire"]
