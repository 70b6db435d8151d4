"""The pages that start, show and cancel syncs."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from console.jobs.models import State
from console.models import User
from registries.models import Registry, SyncRun
from tests import factories
from tests.people import actions, signed_in_client

pytestmark = pytest.mark.django_db

LIST = "/registries/"


def test_a_second_sync_is_not_doubled(lab: Registry) -> None:
    Registry.objects.create(name="other", address="https://other.example.com")
    client = signed_in_client("operator")
    client.post(reverse("registries:sync", args=[lab.pk]))
    answer = client.post(reverse("registries:sync-all"), follow=True)
    assert SyncRun.objects.filter(registry=lab).count() == 1
    assert "1 sync queued, 1 skipped (already syncing)" in answer.content.decode()
    run = SyncRun.objects.filter(registry=lab).get()
    assert run.queued_at is not None
    assert run.requested_by == User.objects.get(username="operator")


def test_only_the_chosen_registries_sync(lab: Registry) -> None:
    Registry.objects.create(name="other", address="https://other.example.com")
    signed_in_client("operator").post(reverse("registries:sync-all"), {"ids": [lab.pk, "rubbish", "9" * 400]})
    assert [run.registry for run in SyncRun.objects.all()] == [lab]


def test_a_queued_sync_is_cancelled_at_once(lab: Registry) -> None:
    client = signed_in_client("operator")
    client.post(reverse("registries:sync", args=[lab.pk]))
    client.post(reverse("registries:cancel-sync", args=[lab.pk]))
    assert SyncRun.objects.get().state == State.CANCELLED
    assert actions() == ["sync.start", "sync.cancel"]


def test_a_page_elsewhere_that_starts_a_sync_gets_a_toast(lab: Registry) -> None:
    answer = signed_in_client("operator").post(reverse("registries:sync-all"), headers={"HX-Request": "true"})
    assert answer.status_code == 204
    assert "1 sync queued" in answer.headers["HX-Trigger"]


def poll(client: Client, *registries: Registry) -> str:
    visible = ",".join(str(registry.pk) for registry in registries)
    return client.get(reverse("registries:progress"), {"visible": visible}).content.decode()


def test_the_list_polls_only_while_a_sync_runs(lab: Registry) -> None:
    client = signed_in_client("viewer")
    assert "data-poll" not in client.get(LIST).content.decode()
    run = SyncRun.objects.create(registry=lab, state=State.RUNNING, repositories=3, tags=41, progress_done=1)
    assert "data-poll" in client.get(LIST).content.decode()
    moving = poll(client, lab)
    assert "41 tags in 3 repositories" in moving
    assert f'id="sync-{lab.pk}"' in moving
    SyncRun.objects.filter(pk=run.pk).update(state=State.FAILED, ended_at=timezone.now(), reason="It said no.")
    lab.record_sync(run)
    ended = poll(client, lab)
    assert "data-poll" not in ended
    assert "It said no." in ended
    assert f'id="next-{lab.pk}"' in ended
    SyncRun.objects.update(ended_at=timezone.now() - timedelta(hours=1))
    assert f'id="sync-{lab.pk}"' not in poll(client, lab)


def test_the_poll_brings_only_cells_that_the_page_has(lab: Registry) -> None:
    client = signed_in_client("viewer")
    other = factories.registry()
    for registry in (lab, other):
        SyncRun.objects.create(registry=registry, state=State.RUNNING)
    html = poll(client, lab)
    assert f'id="images-{lab.pk}"' in html
    assert f"-{other.pk}" not in html
    assert "2 registries are syncing" in html
    User.objects.update(columns={"registries": ["type", "last_sync"]})
    html = poll(client, lab)
    assert f'id="sync-{lab.pk}"' in html
    assert f'id="images-{lab.pk}"' not in html


def test_the_page_of_a_registry_tells_and_cancels_its_own_sync_alone(lab: Registry) -> None:
    client, page = signed_in_client("operator"), reverse("registries:registry-detail", args=[lab.pk])
    other = SyncRun.objects.create(registry=factories.registry(), state=State.RUNNING)
    html = client.get(page).content.decode()
    assert "data-poll" not in html
    assert "Running syncs" not in html
    mine = SyncRun.objects.create(registry=lab, state=State.RUNNING)
    asked = {"visible": lab.pk, "cells": "connection,last_sync", "only": lab.pk}
    for html in (
        client.get(page).content.decode(),
        client.get(reverse("registries:progress"), asked).content.decode(),
    ):
        assert "Syncing</span>" in html
        assert "syncing" not in html
        assert reverse("registries:cancel-all") not in html
    client.post(reverse("registries:cancel-sync", args=[lab.pk]))
    mine.refresh_from_db()
    other.refresh_from_db()
    assert (mine.cancel_requested_at is None, other.cancel_requested_at is None) == (False, True)


def test_records_tell_reason_and_remedy(lab: Registry) -> None:
    for number in range(25):
        SyncRun.objects.create(registry=lab, state=State.FAILED, reason=f"Reason {number}.", remedy="Do this.")
    html = signed_in_client("viewer").get(reverse("registries:sync-list"), {"page": "rubbish"}).content.decode()
    assert "Reason 24." in html
    assert "Reason 4." not in html
    one = signed_in_client("viewer").get(reverse("registries:registry-detail", args=[lab.pk])).content.decode()
    assert "Reason 24." in one
    assert "Reason 19." not in one


def test_only_the_sync_that_is_asked_for_is_cancelled_unless_all_are(lab: Registry) -> None:
    other = factories.registry()
    client = signed_in_client("operator")
    client.post(reverse("registries:sync-all"))
    client.post(reverse("registries:cancel-sync", args=[lab.pk]))
    assert {run.registry: run.state for run in SyncRun.objects.all()} == {lab: State.CANCELLED, other: State.QUEUED}
    client.post(reverse("registries:cancel-all"))
    assert {run.state for run in SyncRun.objects.all()} == {State.CANCELLED}


def test_a_list_with_nothing_chosen_syncs_nothing(lab: Registry) -> None:
    answer = signed_in_client("operator").post(reverse("registries:sync-all"), {"view": "?"}, follow=True)
    assert "Nothing is selected." in answer.content.decode()
    assert not SyncRun.objects.exists()


def test_all_that_match_are_synced_by_the_filters_of_the_view(lab: Registry) -> None:
    factories.registry(type="harbor")
    signed_in_client("operator").post(reverse("registries:sync-all"), {"view": "?type=harbor", "all": "1"})
    assert [run.registry.type for run in SyncRun.objects.all()] == ["harbor"]
