"""Queries whose SQL is made once give what the database holds at the time, for each argument."""

from __future__ import annotations

import pytest
from django.contrib.auth import get_user_model
from django.db.models import QuerySet

from console import visibility
from console.db.compiled_queries import CompiledQuery
from console.visibility import Scope
from tests import factories

pytestmark = pytest.mark.django_db


def test_the_query_is_made_once_for_each_argument_and_asked_each_time() -> None:
    made: list[str] = []

    def make(name: str) -> QuerySet[object, object]:
        made.append(name)
        return get_user_model().objects.filter(username=name).values_list("username", "is_staff")

    query = CompiledQuery(make)
    assert query.rows("ada") == []
    get_user_model().objects.create(username="ada", is_staff=True)
    assert query.rows("ada") == [("ada", True)]
    assert query.rows("bob") == []
    assert made == ["ada", "bob"]


def test_it_sees_everything_whoever_asks_first() -> None:
    from registries.models import Registry

    registry = factories.tag("1.0").registry
    query = CompiledQuery(lambda: Registry.objects.order_by("pk").values_list("pk"))
    with visibility.set_to(Scope(frozenset())):
        assert not Registry.objects.exists()
        assert query.rows() == [(registry.pk,)]
