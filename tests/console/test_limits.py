"""Who is limited to which registries: how that is set, who may set it, what is told of it."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import Permission
from django.test import Client, RequestFactory
from django.urls import reverse
from pytest_django import Settings

from console import visibility
from console.accounts.sso import sync_teams
from console.models import AuditEvent, Team, User
from registries.models import Registry
from tests import factories
from tests.people import person

pytestmark = pytest.mark.django_db
BACKEND = "django.contrib.auth.backends.ModelBackend"


@pytest.fixture
def team() -> Team:
    made = Team.objects.create(name="payments")
    made.registries.add(factories.registry(name="lab"))
    return made


def signed_in(user: User) -> Client:
    client = Client()
    client.force_login(user, backend=BACKEND)
    return client


@pytest.fixture
def admin() -> Client:
    return signed_in(person("administrator", is_staff=True, is_superuser=True))


def page(row: User | Team | None = None, kind: str = "user") -> str:
    if row is None:
        return reverse(f"admin:console_{kind}_add")
    return reverse(f"admin:console_{row._meta.model_name}_change", args=[row.pk])


def save(client: Client, user: User, **fields: Any) -> Any:
    """Save the page of ``user`` in Django admin with ``fields`` in place of what stands there."""
    facts = {"username": user.username, "role": user.role, "limited": str(user.limited), "is_active": "on"}
    facts |= {
        "date_joined_0": "2026-01-01",
        "date_joined_1": "10:00:00",
        "teams": [team.pk for team in user.teams.all()],
    }
    return client.post(page(user), {name: value for name, value in (facts | fields).items() if value is not None})


def names(user: User) -> list[str] | None:
    found = visibility.of(User.objects.get(pk=user.pk))
    if isinstance(found, visibility.Everything):
        return None
    assert found
    return sorted(Registry.objects.get(pk=pk).name for pk in found.registries)


def test_the_page_of_a_person_says_what_the_person_sees(admin: Client, team: Team) -> None:
    lea = person("operator", username="lea")
    html = admin.get(page(lea)).content.decode()
    assert "All registries" in html
    assert "Only the registries of the teams below" in html
    assert names(lea) is None
    assert save(admin, lea, limited="True", teams=[team.pk]).status_code == 302
    assert names(lea) == ["lab"]
    event = AuditEvent.objects.filter(action="user.edit").latest("pk")
    assert (event.before, event.after) == ({"limited": False, "teams": ""}, {"limited": True, "teams": "payments"})
    lea.refresh_from_db()
    assert save(admin, lea, limited="True", teams=None).status_code == 302
    assert names(lea) == [], "in no team nothing is seen"
    assert save(admin, lea, limited="False", teams=None).status_code == 302
    assert names(lea) is None


@pytest.mark.parametrize(
    "fields",
    [
        {"limited": "False"},  # with a team
        {"limited": "True", "role": "administrator"},
        {"limited": "True", "is_staff": "on"},
        {"limited": "True", "is_superuser": "on"},
    ],
)
def test_a_limit_that_would_not_hold_is_refused(admin: Client, team: Team, fields: dict[str, str]) -> None:
    lea = person("operator", username="lea")
    answer = save(admin, lea, teams=[team.pk], **fields)
    assert answer.status_code == 200
    assert "limited" in answer.context["adminform"].form.errors
    assert names(lea) is None
    assert not lea.teams.exists()


def test_a_team_limits_its_people_and_taking_it_away_shows_no_more(admin: Client, team: Team) -> None:
    lea, boss = person("operator", username="lea"), person("administrator", username="boss")
    other = factories.registry(name="other")
    html = admin.get(page(team)).content.decode()
    assert "lea" in html
    assert "boss" not in html, "administrators see everything"
    form = {"name": "payments", "registries": [other.pk], "members": [lea.pk], "groups": ""}
    assert admin.post(page(team), form).status_code == 302
    assert names(lea) == ["other"]
    event = AuditEvent.objects.get(action="team.edit")
    assert (event.before, event.after) == (
        {"registries": "lab", "members": ""},
        {"registries": "other", "members": "lea"},
    )
    assert AuditEvent.objects.get(action="user.edit", target="lea").after == {"limited": True}
    assert admin.post(page(team), form | {"members": [boss.pk]}).status_code == 200, "nobody offered that"
    admin.post(page(team), form | {"members": []})
    assert names(lea) == []
    admin.post(page(team), form)
    admin.post(reverse("admin:console_team_delete", args=[team.pk]), {"post": "yes"})
    assert names(lea) == []
    assert AuditEvent.objects.filter(action="team.delete").count() == 1


def test_several_teams_show_the_registries_of_all_of_them(team: Team) -> None:
    second = Team.objects.create(name="platform")
    second.registries.add(factories.registry(name="prod"), *team.registries.all())
    lea = person("viewer", username="lea", limited=True)
    lea.teams.set([team, second])
    assert names(lea) == ["lab", "prod"]
    Registry.objects.get(name="prod").delete()
    assert names(lea) == ["lab"]


def test_administrators_are_not_limited_whatever_their_row_says(team: Team) -> None:
    boss = person("administrator", limited=True)
    boss.teams.add(team)
    assert names(boss) is None


def test_support_staff_set_no_limits(team: Team) -> None:
    support = person(username="support", is_staff=True)
    support.user_permissions.add(*Permission.objects.filter(content_type__model__in=["user", "team"]))
    lea = person("operator", username="lea", limited=True)
    lea.teams.add(team)
    client = signed_in(support)
    save(client, lea, limited="False", teams=None)
    assert names(lea) == ["lab"]
    for url in (page(team), page(kind="team"), reverse("admin:console_team_delete", args=[team.pk])):
        assert client.post(url, {"name": "mine", "members": [], "registries": []}).status_code == 403


def test_django_admin_is_shut_for_whoever_is_limited(team: Team) -> None:
    support = person(username="support", is_staff=True, limited=True)
    support.user_permissions.add(*Permission.objects.all())
    support.teams.add(team)
    client = signed_in(support)
    for url in (reverse("admin:index"), page(team), reverse("admin:inventory_tag_changelist")):
        answer = client.get(url, follow=True)
        assert answer.status_code == 403, url
    assert client.get(reverse("inventory:image-list")).status_code == 200


@pytest.mark.parametrize(
    ("limited", "teams", "told"), [(False, 0, '<dd id="limit">All</dd>'), (True, 1, "lab"), (True, 0, "None. Ask")]
)
def test_the_account_page_says_what_somebody_sees(team: Team, limited: bool, teams: int, told: str) -> None:
    lea = person("viewer", username="lea", limited=limited)
    lea.teams.set([team][:teams])
    html = signed_in(lea).get("/account/").content.decode()
    assert told in html
    assert ("<dt>Teams</dt>" in html) == bool(teams)
    assert ("Limited to" in html) == limited
    if limited:
        assert f"Limited to {teams} " in html


def test_groups_of_single_sign_on_fill_teams(settings: Settings, team: Team) -> None:
    team.groups = "payments-dev\npayments ops\n"
    team.save()
    by_hand = Team.objects.create(name="by hand")
    lea = person("viewer", username="lea")
    request = RequestFactory().get("/")
    sync_teams(request, lea, {"other"})
    assert (names(lea), list(lea.teams.all())) == (None, []), "nobody is limited who is in no such group"
    lea.teams.add(by_hand)
    sync_teams(request, lea, {"payments ops", "other"})
    assert names(lea) == ["lab"]
    event = AuditEvent.objects.filter(action="user.edit").latest("pk")
    assert (event.before, event.after) == (
        {"limited": False, "teams": "by hand"},
        {"limited": True, "teams": "by hand, payments"},
    )
    sync_teams(request, lea, {"payments", "payments-dev "})
    assert (names(lea), list(lea.teams.all())) == ([], [by_hand]), "whoever leaves the group sees no more than before"
    count = AuditEvent.objects.count()
    sync_teams(request, lea, set())
    assert AuditEvent.objects.count() == count, "nothing has changed"
    boss = person("administrator", username="boss")
    sync_teams(request, boss, {"payments-dev"})
    assert names(boss) is None
    settings.OIDC_LIMITED = True
    new = person("viewer", username="new")
    for user in (new, boss):
        sync_teams(request, user, set())
    assert (names(new), names(boss)) == ([], None)
