"""The list behind the page "Audit trail"."""

from __future__ import annotations

import json
import re
from datetime import timedelta
from typing import Any

from django import forms
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext, gettext_lazy

from console.audit import trail
from console.audit.models import AuditEvent
from console.listing import AnyCondition, Column, Listing, ListingFilterSet, Needs, ValuesOf
from console.listing.registered_listings import LISTINGS, get_listing

PERIOD_DAYS = {"hour": 1 / 24, "day": 1, "week": 7, "month": 30}  # days
ADDRESS_PATTERN = re.compile(r"[0-9a-f.:]+", re.IGNORECASE)  # what a network address is written with
IS_REFUSED = Q(action__in=("access.denied", "sign-in.refused", "sign-in.code-refused", "sign-in.locked"))


class _SinceFilter(AnyCondition):
    """Events of the last hours or days, as seen from now."""

    def filter(self, qs: Any, value: Any) -> Any:
        if not value:
            return qs
        return qs.filter(at__gte=timezone.now() - timedelta(days=max(PERIOD_DAYS[name] for name in value)))


class AuditFilters(ListingFilterSet):
    """What the audit trail can be narrowed to."""

    subject = AnyCondition(
        label=gettext_lazy("Subject"),
        choices=list(trail.SUBJECTS.items()),
        conditions={name: Q(action=name) | Q(action__startswith=f"{name}.") for name in trail.SUBJECTS},
    )
    actor_name = ValuesOf(label=gettext_lazy("Who"), field_name="actor_name")
    since = _SinceFilter(
        label=gettext_lazy("Period"),
        choices=[
            ("hour", gettext_lazy("Last hour")),
            ("day", gettext_lazy("Last 24 hours")),
            ("week", gettext_lazy("Last 7 days")),
            ("month", gettext_lazy("Last 30 days")),
        ],
        conditions={},
    )
    outcome = AnyCondition(
        label=gettext_lazy("Outcome"),
        choices=[("done", gettext_lazy("Done")), ("refused", gettext_lazy("Refused"))],
        conditions={"done": ~IS_REFUSED, "refused": IS_REFUSED},
    )

    placeholder = gettext_lazy("Who, action, what or network address")
    prominent = ("subject", "actor_name", "since")

    class Meta:
        model = AuditEvent
        fields: list[str] = []
        form = forms.Form

    def matches(self, word: str) -> Q:
        """Return where ``word`` is in the actor, the action or the target, or begins the network address."""
        actions = [action for action, label in trail.ACTIONS.items() if word.lower() in str(label).lower()]
        found = Q(actor_name__icontains=word) | Q(target__icontains=word) | Q(action__icontains=word)
        found |= Q(action__in=actions)
        return found | Q(address__startswith=word.lower()) if ADDRESS_PATTERN.fullmatch(word) else found


def event_facts(event: AuditEvent) -> list[tuple[str, str, str]]:
    """Return what an event says beside its target: name, value before, value now; other facts have no value before."""
    names = dict.fromkeys([*event.before, *event.after])
    changed = [
        (name, format_value(event.before[name]) if name in event.before else "", format_value(event.after.get(name)))
        for name in names
    ]
    return changed + [(name, "", format_value(value)) for name, value in event.detail.items()]


def format_value(value: object) -> str:
    """Return a value of JSON as text."""
    if value is None:
        return "–"
    if isinstance(value, bool):
        return gettext("yes") if value else gettext("no")
    return str(value) if isinstance(value, str | int | float) else json.dumps(value, ensure_ascii=False)


def target(event: AuditEvent) -> str | None:
    """Return what an event was about, a list by its title; None where it was nothing."""
    if event.action.startswith("export") and event.target in LISTINGS:
        return str(get_listing(event.target).title)
    return event.target or None


def summary(event: AuditEvent) -> str:
    """Return the same in one line."""
    return "; ".join(f"{name}: {was} → {now}" if was else f"{name}: {now}" for name, was, now in event_facts(event))


AUDIT = Listing[AuditEvent](
    name="audit",
    title=gettext_lazy("Audit trail"),
    noun=gettext_lazy("events"),
    singular=gettext_lazy("event"),
    queryset=lambda: AuditEvent.objects.all(),
    filterset=AuditFilters,
    default_sort="-at",
    page_size=50,
    columns=(
        Column(
            name="at",
            label=gettext_lazy("When"),
            value=lambda event: event.at,
            sort=("at",),
            needs=Needs(fields=("at",)),
            template="console/listing/time.html",
            locked=True,
            descending_first=True,
            slot="ver",
        ),
        Column(
            name="actor",
            label=gettext_lazy("Who"),
            value=lambda event: event.actor_name or None,
            sort=("actor_name", "at"),
            needs=Needs(fields=("actor_name",)),
            template="console/audit/actor.html",
            slot="addr",
        ),
        Column(
            name="action",
            label=gettext_lazy("Action"),
            value=lambda event: str(trail.ACTIONS.get(event.action, event.action)),
            sort=("action", "at"),
            needs=Needs(fields=("action",)),
            template="console/audit/action.html",
            slot="status",
        ),
        Column(
            name="target",
            label=gettext_lazy("What"),
            value=target,
            sort=("target", "at"),
            needs=Needs(fields=("target",)),
            template="console/audit/target.html",
            css="grow",
            slot="risks",
        ),
        Column(
            name="change",
            label=gettext_lazy("Details"),
            value=summary,
            needs=Needs(fields=("before", "after", "detail")),
            template="console/audit/change.html",
            css="grow",
        ),
        Column(
            name="address",
            label=gettext_lazy("Network address"),
            value=lambda event: event.address,
            sort=("address", "at"),
            needs=Needs(fields=("address",)),
            css="n",
        ),
    ),
    needs=Needs(fields=("before", "after", "detail", "action")),
    detail="console/audit/details_row.html",
    bulk="console/audit/bulk.html",
    tools="console/audit/tools.html",
    columns_view="console:audit-columns",
)
