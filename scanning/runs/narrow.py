"""Which of the tags in a scope a schedule wants: by patterns, the newest ones, the younger ones.

As registries.chosen decides for a registry, in the database: "pushed" is when the registry says, else when a sync first
saw the tag or last saw it move.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import timedelta
from functools import reduce
from operator import or_
from typing import Any

from django.db.models import F, Q, QuerySet, Window
from django.db.models.functions import Coalesce, RowNumber

from console.db.clock import database_now
from inventory.models import Tag
from registries.chosen import Patterns

FIELDS = ("repository_patterns", "tag_patterns", "newest_tags", "tag_days")


def narrowed(tags: QuerySet[Tag], choice: Mapping[str, Any]) -> QuerySet[Tag]:
    """Return those of ``tags`` that ``choice`` (values of ``FIELDS``) wants."""
    found = tags.filter(_matching("repository__name", choice.get("repository_patterns") or ""))
    found = found.filter(_matching("name", choice.get("tag_patterns") or ""))
    newest, days = choice.get("newest_tags"), choice.get("tag_days")
    if not newest and not days:
        return found
    found = found.annotate(pushed=Coalesce("pushed_at", "changed_at", "first_seen"))
    if days:
        found = found.filter(pushed__gte=database_now() - timedelta(days=days))
    if newest:
        order = [F("pushed").desc(), F("pk").desc()]
        ranked = found.annotate(place=Window(RowNumber(), partition_by=[F("repository")], order_by=order))
        found = tags.filter(pk__in=ranked.filter(place__lte=newest).order_by().values("pk"))
    return found


def _matching(field: str, text: str) -> Q:
    patterns = Patterns.parse(text)
    included = [Q(**{f"{field}__regex": _regex(each)}) for each in patterns.included]
    excluded = [Q(**{f"{field}__regex": _regex(each)}) for each in patterns.excluded]
    condition = reduce(or_, included) if included else Q()
    return condition & ~reduce(or_, excluded) if excluded else condition


def _regex(pattern: str) -> str:
    """Return ``pattern`` as a regular expression that both databases understand."""
    parts = {"*": ".*", "?": "."}
    return "^" + "".join(parts.get(each) or re.escape(each) for each in pattern) + "$"
