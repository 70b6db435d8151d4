"""Who may do what: every address of the console, tried as nobody and in each role, with GET and with POST.

ADDRESSES is the whole table. An address that is not in it fails the first test, so that none is added unthought of.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, time
from typing import Any

import pytest
from django.contrib import admin
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver, reverse
from django.utils import timezone

from console.models import AuditEvent, User
from registries.connection_test.live import TooManyTestsError
from registries.models import CloudAccount, ConnectionTest
from scanning.models import Rematch, ScanRun, ScanSchedule, Selection
from scanning.schedules import scheduler
from tests import factories
from tests.people import person

pytestmark = pytest.mark.django_db

ROLES = ("viewer", "operator", "administrator")
ANYBODY, VIEWER, OPERATOR, ADMINISTRATOR, NEVER = "anybody", *ROLES, "never"
RANK = {name: rank for rank, name in enumerate((ANYBODY, *ROLES))}
NEEDED = {VIEWER: 1, OPERATOR: 2, ADMINISTRATOR: 3, NEVER: 9, ANYBODY: 0}


@dataclass(frozen=True)
class May:
    """The least role that may GET and POST an address; NEVER where the method is not served at all."""

    get: str
    post: str
    arguments: tuple[str, ...] = ()  # keys of ``rows``


PAGE = May(VIEWER, NEVER)
CHOOSER = May(VIEWER, VIEWER)  # which columns somebody sees is for each to choose
ADDRESSES: dict[str, May] = {
    "console:home": May(VIEWER, VIEWER),  # a redirect
    "console:sign-in": May(ANYBODY, ANYBODY),
    "console:sign-in-code": May(ANYBODY, ANYBODY),
    "console:sso": May(NEVER, ANYBODY),
    "console:sso-callback": May(ANYBODY, NEVER),
    "console:sign-out": May(NEVER, VIEWER),
    "console:account": PAGE,
    "console:account-password": May(NEVER, VIEWER),
    "console:second-factor-on": May(NEVER, VIEWER),
    "console:second-factor-off": May(NEVER, VIEWER),
    "console:end-sessions": May(NEVER, VIEWER),
    "console:security": May(ADMINISTRATOR, ADMINISTRATOR),
    "console:preferences": May(VIEWER, VIEWER),
    "console:audit-list": May(ADMINISTRATOR, NEVER),
    "console:audit-columns": May(ADMINISTRATOR, ADMINISTRATOR),
    "console:audit-export": May(NEVER, ADMINISTRATOR),
    "console:undo": May(NEVER, VIEWER),
    "console:view-list": May(VIEWER, NEVER, ("listing",)),
    "console:view-save": May(NEVER, VIEWER, ("listing",)),
    "console:view-default": May(NEVER, VIEWER, ("listing",)),
    "console:view": May(NEVER, VIEWER, ("unknown",)),
    "console:export-list": PAGE,
    "console:export-columns": CHOOSER,
    "console:export-progress": PAGE,
    "console:export-start": May(NEVER, OPERATOR, ("part", "vulnerability")),
    "console:export-file": May(VIEWER, NEVER, ("unknown",)),
    "console:export-cancel": May(NEVER, VIEWER, ("unknown",)),
    "console:export-remove": May(NEVER, VIEWER, ("unknown",)),
    "registries:registry-list": PAGE,
    "registries:registry-columns": CHOOSER,
    "registries:registry-export": May(NEVER, OPERATOR),
    "registries:guide": PAGE,
    "registries:progress": PAGE,
    "registries:registry-add": May(ADMINISTRATOR, ADMINISTRATOR),
    "registries:check-name": May(ADMINISTRATOR, NEVER),
    "registries:form-test": May(NEVER, ADMINISTRATOR),
    "registries:test": May(OPERATOR, NEVER, ("test",)),
    "registries:delete-chosen": May(NEVER, ADMINISTRATOR),
    "registries:sync-all": May(NEVER, OPERATOR),
    "registries:cancel-all": May(NEVER, OPERATOR),
    "registries:sync-list": PAGE,
    "registries:sync-columns": CHOOSER,
    "registries:sync-export": May(NEVER, OPERATOR),
    "registries:push-events": May(ADMINISTRATOR, ADMINISTRATOR, ("registry",)),
    "registries:registry-detail": May(VIEWER, NEVER, ("registry",)),
    "registries:registry-edit": May(ADMINISTRATOR, ADMINISTRATOR, ("registry",)),
    "registries:registry-delete": May(ADMINISTRATOR, ADMINISTRATOR, ("registry",)),
    "registries:delete-again": May(NEVER, ADMINISTRATOR, ("registry",)),
    "registries:sync": May(NEVER, OPERATOR, ("registry",)),
    "registries:cancel-sync": May(NEVER, OPERATOR, ("registry",)),
    "registries:registry-test": May(NEVER, OPERATOR, ("registry",)),
    "registries:tencent-account-list": PAGE,
    "registries:tencent-account-add": May(ADMINISTRATOR, ADMINISTRATOR),
    "registries:tencent-account-edit": May(ADMINISTRATOR, ADMINISTRATOR, ("account",)),
    "registries:tencent-account-discover": May(NEVER, OPERATOR, ("account",)),
    "registries:tencent-account-restore": May(NEVER, ADMINISTRATOR, ("account",)),
    "registries:tencent-account-delete": May(ADMINISTRATOR, ADMINISTRATOR, ("account",)),
    "inventory:image-list": PAGE,
    "inventory:image-columns": CHOOSER,
    "inventory:image-export": May(NEVER, OPERATOR),
    "inventory:image": May(VIEWER, NEVER, ("tag",)),
    "scanning:scan": May(NEVER, OPERATOR),
    "scanning:cancel": May(NEVER, OPERATOR),
    "scanning:settings": May(OPERATOR, OPERATOR),
    "scanning:cost": May(OPERATOR, NEVER),
    "scanning:select": May(NEVER, OPERATOR),
    "scanning:quota": May(ADMINISTRATOR, ADMINISTRATOR),
    "scanning:chooser": May(OPERATOR, OPERATOR, ("selection",)),
    "scanning:run-list": PAGE,
    "scanning:run-list-progress": PAGE,
    "scanning:run-columns": CHOOSER,
    "scanning:run-export": May(NEVER, OPERATOR),
    "scanning:run": May(VIEWER, NEVER, ("run",)),
    "scanning:run-progress": May(VIEWER, NEVER, ("run",)),
    "scanning:run-cancel": May(NEVER, OPERATOR, ("run",)),
    "scanning:scan-columns": May(VIEWER, VIEWER, ("run",)),
    "scanning:run-again": May(NEVER, OPERATOR, ("run",)),
    "scanning:vulnerability-list": PAGE,
    "scanning:vulnerability-columns": CHOOSER,
    "scanning:vulnerability-export": May(NEVER, OPERATOR),
    "scanning:affected-columns": May(VIEWER, VIEWER, ("vulnerability",)),
    "scanning:vulnerability-images": May(NEVER, OPERATOR, ("vulnerability",)),
    "scanning:vulnerability": May(VIEWER, NEVER, ("name",)),
    "scanning:package-list": PAGE,
    "scanning:package-columns": CHOOSER,
    "scanning:package-export": May(NEVER, OPERATOR),
    "scanning:package": May(VIEWER, NEVER, ("package",)),
    "scanning:holder-columns": May(VIEWER, VIEWER, ("package",)),
    "scanning:package-images": May(NEVER, OPERATOR, ("package",)),
    "scanning:schedule-list": PAGE,
    "scanning:schedule-columns": CHOOSER,
    "scanning:schedule-export": May(NEVER, OPERATOR),
    "scanning:schedule-add": May(ADMINISTRATOR, ADMINISTRATOR),
    "scanning:schedule": May(VIEWER, ADMINISTRATOR, ("schedule",)),
    "scanning:schedule-run": May(NEVER, OPERATOR, ("schedule",)),
    "scanning:schedule-delete": May(ADMINISTRATOR, ADMINISTRATOR, ("schedule",)),
    "scanning:engines": PAGE,
    "scanning:update-database": May(NEVER, ADMINISTRATOR),
    "scanning:cancel-update": May(NEVER, ADMINISTRATOR),
    "scanning:rematch": May(VIEWER, NEVER, ("rematch",)),
    "scanning:start-rematch": May(NEVER, ADMINISTRATOR),
    "scanning:cancel-rematch": May(NEVER, ADMINISTRATOR),
    "scanning:progress": PAGE,
    "scanning:vulnerabilities": May(VIEWER, NEVER, ("tag",)),
    "scanning:malware": May(VIEWER, NEVER, ("tag",)),
    "scanning:sensitive": May(VIEWER, NEVER, ("tag",)),
    "scanning:packages": May(VIEWER, NEVER, ("tag",)),
    "scanning:vulnerabilities-columns": May(VIEWER, VIEWER, ("tag",)),
    "scanning:malware-columns": May(VIEWER, VIEWER, ("tag",)),
    "scanning:sensitive-columns": May(VIEWER, VIEWER, ("tag",)),
    "scanning:packages-columns": May(VIEWER, VIEWER, ("tag",)),
    "scanning:history": May(VIEWER, NEVER, ("tag",)),
    "scanning:history-export": May(NEVER, OPERATOR, ("tag",)),
}
# Registries report pushes here, with a secret of their own in place of a session: tests/registries/webhooks.
LEAD_TO_SIGN_IN = {"console:sign-out", "console:end-sessions", "console:sign-in-code"}
ADMIN_SIGN_IN = "admin/login/"
MACHINES = {ADMIN_SIGN_IN, "console:styleguide", "registries:receive-event", "registries:receive-event-with-secret"}


def addresses(resolver: URLResolver | None = None, space: str = "") -> Iterator[str]:
    """Yield the names of all addresses that the console answers, but those of Django admin."""
    for each in (resolver or get_resolver()).url_patterns:
        if isinstance(each, URLResolver):
            if each.namespace != "admin":
                yield from addresses(each, f"{space}{each.namespace}:" if each.namespace else space)
        elif isinstance(each, URLPattern):
            yield f"{space}{each.name or each.pattern}"


@pytest.fixture
def rows() -> dict[str, Any]:
    """One row of each kind that an address can name, keyed as in ``May.arguments``."""
    schedule = ScanSchedule(name="daily", at=time(3), starts_on=date(2026, 1, 1), categories=["malware"])
    scheduler.save(schedule, chosen=None, now=timezone.now())
    registry, image = factories.registry(), factories.image()
    held = factories.vulnerability(image)
    owner = person("administrator", username="owner")
    return {
        "listing": "images",
        "part": "affected",
        "unknown": 0,
        "registry": registry.pk,
        "tag": factories.tag(of=image, in_=registry).pk,
        "vulnerability": held.vulnerability_id,
        "name": held.vulnerability.name,
        "package": held.package_id,
        "account": CloudAccount.objects.create(name="cloud", secret_id="AKID").pk,
        "test": ConnectionTest.objects.create(registry=registry, user=owner, saved=True).pk,
        "run": ScanRun.objects.create(categories=["malware"]).pk,
        "rematch": Rematch.objects.create().pk,
        "schedule": schedule.pk,
        "selection": Selection.objects.create(owner=owner, purpose="scan").pk,
    }


def url_of(name: str, rows: dict[str, Any]) -> str:
    return reverse(name, args=[rows[key] for key in ADDRESSES[name].arguments])


def client_of(role: str) -> Client:
    client = Client()
    if role != ANYBODY:
        client.force_login(User.objects.filter(username=role).first() or person(role))
    return client


def sent_to_sign_in(answer: Any) -> bool:
    return answer.status_code == 302 and answer.headers["Location"].startswith(reverse("console:sign-in"))


def test_every_address_is_in_the_table() -> None:
    assert set(addresses()) == ADDRESSES.keys() | MACHINES


@pytest.mark.parametrize("method", ["get", "post"])
@pytest.mark.parametrize("name", ADDRESSES)
def test_an_address_opens_for_the_roles_of_the_table_and_no_other(
    name: str, method: str, rows: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def not_now(**_values: object) -> None:
        raise TooManyTestsError("not in this test")

    monkeypatch.setattr("registries.views.connection.start_connection_test", not_now)
    least = getattr(ADDRESSES[name], method)
    for role in (ANYBODY, *ROLES):
        for headers in ({}, {"HX-Request": "true"}):
            answer = getattr(client_of(role), method)(url_of(name, rows), headers=headers)
            told = f"{method} {name} as {role} with {headers}: {answer.status_code}"
            if role == ANYBODY:
                if least != ANYBODY:
                    assert sent_to_sign_in(answer) or answer.status_code == 405, told
                continue
            if least == NEVER:
                assert answer.status_code == 405, told
            elif RANK[role] < NEEDED[least]:
                assert answer.status_code == 403, told
                refused = AuditEvent.objects.filter(action="access.denied", actor_name=role)
                assert refused.filter(target=url_of(name, rows)).exists(), told
            else:
                assert answer.status_code in {200, 204, 302, 404, 422, 429}, told
                assert not sent_to_sign_in(answer) or name in LEAD_TO_SIGN_IN, told
        if method == "post" and name in {"registries:registry-delete", "scanning:schedule-delete"}:
            break  # the first who may has removed it


def test_what_belongs_to_somebody_is_not_there_for_others(rows: dict[str, Any]) -> None:
    for name in ("registries:test", "scanning:chooser"):
        for role in ("operator", "administrator"):
            assert client_of(role).get(url_of(name, rows)).status_code == 404


def test_a_form_without_its_token_is_refused_at_every_address(rows: dict[str, Any]) -> None:
    strict = Client(enforce_csrf_checks=True)
    strict.force_login(person("administrator", is_staff=True, is_superuser=True))
    before = AuditEvent.objects.count()
    for name, may in ADDRESSES.items():
        if may.post != NEVER:
            assert strict.post(url_of(name, rows)).status_code == 403, name
            assert strict.post(url_of(name, rows), headers={"Origin": "https://evil.example"}).status_code == 403, name
    assert AuditEvent.objects.count() == before


def admin_addresses(rows: dict[str, Any]) -> Iterator[str]:
    yield from (reverse(f"admin:{name}") for name in ("index", "password_change", "jsi18n"))
    for model in admin.site._registry:
        base = f"admin:{model._meta.app_label}_{model._meta.model_name}"
        yield from (reverse(f"{base}_{page}") for page in ("changelist", "add"))
        yield from (reverse(f"{base}_{page}", args=[1]) for page in ("change", "delete", "history"))


@pytest.mark.parametrize("role", [ANYBODY, *ROLES])
def test_django_admin_is_closed_to_all_roles_that_are_no_staff(role: str, rows: dict[str, Any]) -> None:
    client = client_of(role)
    for url in admin_addresses(rows):
        for method in (client.get, client.post):
            answer = method(url)
            if sent_to_sign_in(answer):
                assert role == ANYBODY, url
                continue
            assert answer.status_code == 302, url
            assert answer.headers["Location"] == f"/admin/login/?next={url}"
        answer = client.get(f"/admin/login/?next={url}")  # the sign-in of Django admin, which is none
        assert sent_to_sign_in(answer) if role == ANYBODY else answer.status_code == 403, url


def test_django_admin_has_no_sign_in_of_its_own_that_would_leave_out_throttle_and_second_factor() -> None:
    for method in (Client().get, Client().post):
        answer = method("/admin/login/?next=/admin/console/user/")
        assert answer.status_code == 302
        assert answer.headers["Location"] == "/sign-in/?next=/admin/console/user/"
    assert Client().get("/admin/login/?next=//evil.example").headers["Location"] == "/sign-in/?next=/admin/"


def test_staff_without_permissions_sees_nothing_in_django_admin(rows: dict[str, Any]) -> None:
    client = Client()
    client.force_login(person("administrator", username="support", is_staff=True))
    for model in admin.site._registry:
        url = reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_changelist")
        assert client.get(url).status_code == 403, url


def test_support_staff_that_may_change_people_can_make_no_administrator(rows: dict[str, Any]) -> None:
    from django.contrib.auth.models import Permission

    support = person(username="support", is_staff=True)
    support.user_permissions.add(*Permission.objects.filter(content_type__model="user"))
    victim, client = person(), Client()
    client.force_login(support)
    fields = {"username": "viewer", "role": "administrator", "is_superuser": "on", "is_staff": "on", "is_active": "on"}
    page = f"/admin/console/user/{victim.pk}/change/"
    client.post(page, fields | {"date_joined_0": "2026-01-01", "date_joined_1": "10:00:00"})
    victim.refresh_from_db()
    assert (victim.role, victim.is_superuser, victim.is_staff) == ("viewer", False, False)
    owner = User.objects.get(username="owner")
    assert (
        client.post(f"/admin/console/user/{owner.pk}/password/", {"password1": "x", "password2": "x"}).status_code
        == 403
    )
    assert client.post(f"/admin/console/user/{owner.pk}/delete/", {"post": "yes"}).status_code == 403
    client.post(f"/admin/console/user/{support.pk}/change/", fields | {"username": "support"})
    support.refresh_from_db()
    assert not support.may_administer
