"""Which registries people see who are limited to some: those of their teams."""

from __future__ import annotations

from collections import defaultdict

from django.db.models import Q

from console.models import User
from console.visibility import Person, Scope
from registries.models import Registry


def registries_of(user: Person) -> dict[int, str]:
    """Return the registries of the teams of ``user``: id → name, by name."""
    found = Registry._base_manager.filter(teams__members=user.pk).order_by("name", "pk")
    return dict(found.values_list("pk", "name"))


def scopes_in_use() -> list[Scope]:
    """Return what people are limited to, each set of registries once, in two queries."""
    administrators = Q(role=User.Role.ADMINISTRATOR) | Q(is_superuser=True)
    limited = User.objects.filter(limited=True, is_active=True).exclude(administrators)
    teams: dict[int, set[int]] = defaultdict(set)
    for user, team in limited.values_list("pk", "teams"):
        teams[user].add(team)
    registries_by_team: dict[int, set[int]] = defaultdict(set)
    for team, registry in Registry._base_manager.filter(teams__isnull=False).values_list("teams", "pk"):
        registries_by_team[team].add(registry)
    sets = {frozenset(registry for team in mine for registry in registries_by_team[team]) for mine in teams.values()}
    return [Scope(registries) for registries in sorted(sets, key=sorted)]
