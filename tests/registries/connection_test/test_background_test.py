"""The connection test that a page watches: from the form and of a stored registry, step by step."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection, transaction
from django.urls import reverse
from django.utils import timezone

from console.models import AuditEvent
from registries.connection_test import background_test
from registries.connection_test.background_test import MAX_CONCURRENT_TESTS, start_connection_test
from registries.connection_test.diagnose import ConnectionStage, StepResult
from registries.models import ConnectionTest, Registry
from tests.fakes import images
from tests.fakes.registry import FakeRegistry, anything, root, silence
from tests.people import person, signed_in_client

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def server() -> Iterator[FakeRegistry]:
    with FakeRegistry(method="basic", users={"reader": "planted-s3cret"}) as server:
        images.image({"a": b"1"}).put(server, "team/app", "1.0")
        yield server


def form(server: FakeRegistry, **changes: str) -> dict[str, str]:
    values = {"name": "", "type": "oci", "network": "public", "address": server.url, "verify_tls": "on"}
    return {**values, "username": "reader", "password": "planted-s3cret", **changes}


def stored(server: FakeRegistry, password: str = "planted-s3cret") -> Registry:
    registry = Registry(name="lab", address=server.url, username="reader")
    registry.set_password(password)
    registry.save()
    return registry


def ended(test: ConnectionTest | None = None) -> ConnectionTest:
    """The test, once its thread has ended."""
    bound = time.monotonic() + 30
    while time.monotonic() < bound:
        found = ConnectionTest.objects.get(pk=test.pk) if test else ConnectionTest.objects.latest("pk")
        if found.ended_at:
            return found
        time.sleep(0.05)
    pytest.fail("the test did not end")


def test_a_form_that_is_not_saved_is_tested_and_leaves_no_trace_of_its_password(server: FakeRegistry) -> None:
    client = signed_in_client()
    answer = client.post(reverse("registries:form-test"), form(server), headers={"HX-Request": "true"})
    assert answer.status_code == 200
    steps = background_test.steps_of(ended())
    assert [step.stage for step in steps] == list(ConnectionStage)
    assert not [step for step in steps if step.result is StepResult.FAILED]
    assert not Registry.objects.exists()
    html = client.get(reverse("registries:test", args=[ended().pk]), headers={"HX-Request": "true"}).content.decode()
    assert html.count("data-step=") == len(ConnectionStage)
    assert "hx-get" not in html
    with connection.cursor() as cursor:
        for table in connection.introspection.table_names():
            cursor.execute(f'SELECT * FROM "{table}"')
            assert "planted-s3cret" not in str(cursor.fetchall())
    assert AuditEvent.objects.get(action="registry.test").detail == {"type": "oci", "address": server.url}


def test_a_wrong_form_is_not_tested_and_comes_back_with_its_errors(server: FakeRegistry) -> None:
    values = form(server, address="https://169.254.169.254")
    answer = signed_in_client().post(reverse("registries:form-test"), values, headers={"HX-Request": "true"})
    assert (answer.status_code, answer.headers["HX-Retarget"]) == (422, "#registry-form")
    assert "is an address of this machine" in answer.content.decode()
    assert not ConnectionTest.objects.exists()
    assert not server.seen


def test_a_stored_registry_is_tested_and_the_outcome_kept(server: FakeRegistry) -> None:
    registry = stored(server)
    signed_in_client("operator").post(reverse("registries:registry-test", args=[registry.pk]))
    assert ended().saved
    registry.refresh_from_db()
    assert registry.connection == Registry.Connection.CONNECTED


def test_editing_tests_with_the_stored_password_and_keeps_no_outcome_of_what_is_not_saved(server: FakeRegistry) -> None:
    registry = stored(server)
    client, url = signed_in_client(), reverse("registries:form-test")
    client.post(url, form(server, but=str(registry.pk), name="lab", password="", address=f"{server.url}/elsewhere"))
    test = ended()
    assert not test.saved
    registry.refresh_from_db()
    assert registry.connection == Registry.Connection.UNKNOWN
    client.post(url, form(server, but=str(registry.pk), name="lab", password=""))
    assert ended().saved


def test_the_stored_password_is_not_sent_to_the_address_that_somebody_types(server: FakeRegistry) -> None:
    registry = stored(server)
    with FakeRegistry() as canary:
        values = form(canary, but=str(registry.pk), name="lab", password="")
        answer = signed_in_client().post(reverse("registries:form-test"), values, headers={"HX-Request": "true"})
        assert answer.status_code == 422
        assert not canary.seen


def test_a_refused_password_is_noticed_and_tried_once(server: FakeRegistry) -> None:
    registry = stored(server, "wrong")
    signed_in_client("operator").post(reverse("registries:registry-test", args=[registry.pk]))
    steps = background_test.steps_of(ended())
    assert (steps[-1].stage, steps[-1].result) == (ConnectionStage.CREDENTIALS, StepResult.FAILED)
    registry.refresh_from_db()
    assert registry.credentials_refused
    assert len([seen for seen in server.requests(anything) if "authorization" in seen.headers]) == 1


def test_ten_in_a_minute_are_enough_for_one_person(server: FakeRegistry) -> None:
    client = signed_in_client()
    user = person("operator")
    for number in range(10):
        ConnectionTest.objects.create(user_id=client.session["_auth_user_id"], saved=False, ended_at=timezone.now())
        assert number < 10
    answer = client.post(reverse("registries:form-test"), form(server))
    assert answer.status_code == 429
    assert "At most 10 tests a minute are allowed" in answer.content.decode()
    assert not server.seen
    background_test.start_connection_test(registry=stored(server), user=user, saved=True)  # somebody else may
    ended()
    ConnectionTest.objects.update(started_at=timezone.now() - timedelta(seconds=61))
    assert client.post(reverse("registries:form-test"), form(server)).status_code == 302
    ended()


def test_a_slow_registry_holds_no_request_and_the_test_ends_by_itself(
    server: FakeRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.fail(root, silence)
    monkeypatch.setattr("registries.connection_test.background_test.MAX_TEST_DURATION", timedelta(seconds=1))
    client = signed_in_client()
    answer = client.post(reverse("registries:form-test"), form(server), headers={"HX-Request": "true"})
    assert "running" in answer.content.decode()
    assert "hx-get" in answer.content.decode()
    last = background_test.steps_of(ended())[-1]
    assert (last.stage, last.reason) == (ConnectionStage.API, "This step took longer than 1 seconds.")


def test_a_test_whose_process_is_gone_says_so() -> None:
    long_ago = timezone.now() - timedelta(minutes=3)
    test = ConnectionTest.objects.create(user=person("operator"), saved=True, started_at=long_ago)
    (step,) = background_test.steps_of(test)
    assert (step.stage, step.result) == (ConnectionStage.DNS, StepResult.FAILED)
    assert "interrupted" in step.reason


def test_an_error_of_ours_ends_the_test_and_gives_its_place_back(
    server: FakeRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    def explode(*args: Any, **options: Any) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("registries.connection_test.background_test.diagnose", explode)
    user = person("operator")
    for _number in range(background_test.MAX_CONCURRENT_TESTS + 1):
        ConnectionTest.objects.all().delete()
        test = background_test.start_connection_test(registry=stored_once(server), user=user, saved=True)
        assert "unexpected error" in background_test.steps_of(ended(test))[-1].reason


def stored_once(server: FakeRegistry) -> Registry:
    return Registry.objects.first() or stored(server)


def test_more_than_a_process_can_do_are_turned_away(server: FakeRegistry, taken: Callable[[], None]) -> None:
    taken()
    with pytest.raises(background_test.TooManyTestsError, match="Too many tests are running"):
        background_test.start_connection_test(registry=stored(server), user=person("operator"), saved=True)
    assert not ConnectionTest.objects.exists()


@pytest.fixture
def taken() -> Iterator[Callable[[], None]]:
    """Takes all places of this process, until the test has ended."""
    held = []

    def take() -> None:
        while background_test._slots.acquire(blocking=False):
            held.append(True)

    yield take
    for _each in held:
        background_test._slots.release()


def test_nobody_sees_the_test_of_somebody_else(server: FakeRegistry) -> None:
    test = ConnectionTest.objects.create(user=person("operator"), saved=True, ended_at=timezone.now())
    assert signed_in_client().get(reverse("registries:test", args=[test.pk])).status_code == 404


def test_without_scripts_the_test_has_a_page_that_reloads_itself(server: FakeRegistry) -> None:
    client = signed_in_client()
    answer = client.post(reverse("registries:form-test"), form(server))
    test = ConnectionTest.objects.get()
    assert answer.headers["Location"] == reverse("registries:test", args=[test.pk])
    ended()
    html = client.get(answer.headers["Location"]).content.decode()
    assert html.count("data-step=") == len(ConnectionStage)
    assert "http-equiv" not in html
    ConnectionTest.objects.update(ended_at=None)
    assert 'http-equiv="refresh"' in client.get(answer.headers["Location"]).content.decode()


def test_a_test_that_is_rolled_back_keeps_no_place(server: FakeRegistry) -> None:
    registry, user = stored(server), person("administrator")
    for _ in range(MAX_CONCURRENT_TESTS + 2):
        with transaction.atomic():
            start_connection_test(registry=registry, user=user, saved=True)
            transaction.set_rollback(True)
    assert ended(start_connection_test(registry=registry, user=user, saved=True)).steps
