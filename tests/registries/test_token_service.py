"""A token service on another host: found by the test, allowed by a person by name, and sent the password alone then."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import suppress

import pytest
from django.urls import reverse

from console.models import AuditEvent
from registries.clients import open_client
from registries.connection_test.diagnose import StepResult, diagnose
from registries.models import ConnectionTest, Registry
from registries.oci.errors import RedirectRefused, RegistryError, TokenServiceElsewhere
from tests.fakes import images
from tests.fakes.registry import Challenge, DecoyServer, FakeRegistry, Redirect, anything, root
from tests.people import signed_in_client
from tests.registries.connection_test.test_background_test import ended
from tests.registries.forms.test_registry import filled

pytestmark = pytest.mark.django_db(transaction=True)

ELSEWHERE = "localhost"  # the registry itself is at 127.0.0.1


@pytest.fixture
def service() -> Iterator[DecoyServer]:
    """A token service, which remembers what it was sent."""
    with DecoyServer() as server:
        yield server


@pytest.fixture
def server(service: DecoyServer) -> Iterator[FakeRegistry]:
    """A registry whose tokens are given out by ``service``."""
    with FakeRegistry(method="bearer", users={"ada": "right"}) as registry:
        images.image({"a": b"1"}).put(registry, "app", "1")
        scopes = ["repository:app:pull", "registry:catalog:*"]
        token = registry.sign_in.issue("ada", scopes)
        service._answer = (200, json.dumps({"token": token}).encode())
        realm = service.url.replace("127.0.0.1", ELSEWHERE)
        challenge = Challenge(f'Bearer realm="{realm}/token",service="x"')
        registry.fail(lambda request: root(request) and "Authorization" not in request.headers, challenge)
        yield registry


def stored(server: FakeRegistry, **values: str) -> Registry:
    registry = Registry(name="lab", address=server.url, username="ada", **values)
    registry.set_password("right")
    registry.save()
    return registry


def form(server: FakeRegistry, **changes: str) -> dict[str, str]:
    values = {"name": "lab", "type": "oci", "network": "public", "address": server.url, "verify_tls": "on"}
    return {**values, "username": "ada", "password": "right", **changes}


def test_the_test_names_it_and_sends_it_nothing(server: FakeRegistry, service: DecoyServer) -> None:
    step = diagnose(stored(server))[-1]
    assert (step.result, step.token_service) == (StepResult.FAILED, ELSEWHERE)
    assert "Token service" in step.remedy
    assert service.seen == []


def test_once_allowed_it_is_sent_the_password_and_nobody_else_is(server: FakeRegistry, service: DecoyServer) -> None:
    registry = stored(server, token_service=ELSEWHERE)
    assert diagnose(registry)[-1].result is StepResult.PASSED
    assert all(each.headers.get("authorization", "").startswith("Basic") for each in service.seen)
    assert service.seen
    assert not [each for each in server.seen if each.headers.get("authorization", "").startswith("Basic")]


@pytest.mark.parametrize("allowed", ["other.example", "local", "localhost.example", "sub.localhost"])
def test_another_host_than_the_one_that_was_allowed_gets_nothing(
    server: FakeRegistry, service: DecoyServer, allowed: str
) -> None:
    with open_client(stored(server, token_service=allowed)) as client, pytest.raises(TokenServiceElsewhere):
        client.ping()
    assert service.seen == []


def test_a_redirect_does_not_lead_the_password_there(server: FakeRegistry, service: DecoyServer) -> None:
    with DecoyServer() as thief:
        with FakeRegistry() as redirecting:
            redirecting.fail(anything, Redirect(f"{thief.url}/token"))
            server.heal()
            realm = redirecting.url.replace("127.0.0.1", ELSEWHERE)
            server.fail(root, Challenge(f'Bearer realm="{realm}/token",service="x"'))
            with open_client(stored(server, token_service=ELSEWHERE)) as client, suppress(RegistryError):
                client.ping()
            assert "authorization" in redirecting.seen[0].headers
        assert thief.seen
        assert not [each for each in thief.seen if "authorization" in each.headers]


def test_a_registry_that_redirects_to_another_one_is_not_believed_its_token_service(
    server: FakeRegistry, service: DecoyServer
) -> None:
    with FakeRegistry() as front:
        front.fail(root, Redirect(f"{server.url}/v2/"))
        registry = stored(front, token_service=ELSEWHERE)
        with open_client(registry) as client, pytest.raises(RedirectRefused):
            client.ping()
    assert service.seen == []


def test_an_administrator_is_offered_it_by_name_and_nobody_else(server: FakeRegistry) -> None:
    registry = stored(server)
    for role, offered in (("administrator", True), ("operator", False)):
        client = signed_in_client(role)
        client.post(reverse("registries:registry-test", args=[registry.pk]), headers={"HX-Request": "true"})
        test = ended(ConnectionTest.objects.latest("pk"))
        page = client.get(reverse("registries:test", args=[test.pk]), headers={"HX-Request": "true"}).content.decode()
        assert ELSEWHERE in page
        assert (f"?token_service={ELSEWHERE}" in page) is offered


def test_the_offer_fills_in_the_field_and_saves_nothing(server: FakeRegistry) -> None:
    registry, client = stored(server), signed_in_client()
    edit = reverse("registries:registry-edit", args=[registry.pk])
    page = client.get(f"{edit}?token_service={ELSEWHERE}")
    assert page.context["form"]["token_service"].value() == ELSEWHERE
    typed = client.post(f"{reverse('registries:registry-add')}?show=1", form(server, allow=ELSEWHERE, name="new"))
    assert typed.context["form"]["token_service"].value() == ELSEWHERE
    assert typed.context["form"]["name"].value() == "new"
    assert not Registry.objects.exclude(token_service="").exists()


def test_a_form_that_is_not_saved_is_offered_it_as_well(server: FakeRegistry) -> None:
    client = signed_in_client()
    client.post(reverse("registries:form-test"), form(server), headers={"HX-Request": "true"})
    test = ended()
    page = client.get(reverse("registries:test", args=[test.pk]), headers={"HX-Request": "true"}).content.decode()
    assert f'name="allow" value="{ELSEWHERE}"' in page


def test_allowing_it_is_an_event_of_the_audit_trail_and_wants_the_password_again(server: FakeRegistry) -> None:
    registry, client = stored(server), signed_in_client()
    edit = reverse("registries:registry-edit", args=[registry.pk])
    refused = client.post(edit, form(server, token_service=ELSEWHERE, password=""))
    assert refused.status_code == 422
    assert "sent to another address" in refused.content.decode()
    client.post(edit, form(server, token_service=ELSEWHERE))
    registry.refresh_from_db()
    assert registry.token_service == ELSEWHERE
    event = AuditEvent.objects.filter(action="registry.edit").latest("pk")
    assert (event.before.get("token_service"), event.after.get("token_service")) == ("", ELSEWHERE)
    client.post(edit, form(server, token_service="", password=""))
    registry.refresh_from_db()
    assert (registry.token_service, registry.has_password) == ("", True)


@pytest.mark.parametrize(
    ("typed", "kept"), [(" Git.Example.COM. ", "git.example.com"), ("", ""), ("10.0.0.5", "10.0.0.5")]
)
def test_a_host_is_kept_as_it_is_compared(typed: str, kept: str) -> None:
    assert filled(token_service=typed).save().token_service == kept


@pytest.mark.parametrize("typed", ["https://git.example", "git.example:443", "git.example/jwt", "a b", "*", "-a", "ü"])
def test_what_is_no_host_is_told(typed: str) -> None:
    assert "only a host name" in filled(token_service=typed).errors["token_service"][0]


def test_types_that_have_no_such_service_have_no_such_field() -> None:
    assert "token_service" not in filled(type="aws").fields
    registry = Registry(token_service="git.example")
    harbor = filled(registry, type="harbor", version="v2", token_service="git.example")
    assert harbor.save().token_service == ""
