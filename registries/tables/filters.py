"""Filters of registries and of their sync records."""

from __future__ import annotations

from typing import Any

from django import forms
from django.db.models import Exists, OuterRef, Q
from django.utils.translation import gettext_lazy as _

from console.i18n.search import message_contains
from console.jobs.models import State
from console.listing import AnyCondition, AnyOf, ListingFilterSet, ModelAnyOf
from registries.connectors import DECLARATIONS
from registries.models import Registry, SyncRun

COMPLETE_VALUES = {"complete": True, "errors": 0}  # of a sync that has succeeded
# word in the address → what it is on screen, for a sync that has ended
RESULT_LABELS = {
    "complete": _("Complete"),
    "partial": _("Partial"),
    "failed": _("Failed"),
    "cancelled": _("Cancelled"),
}


def result_condition(name: str, prefix: str = "") -> Q:
    """Return the condition under which a sync, found by the path ``prefix``, has ended with the result ``name``."""
    whole = Q(**{f"{prefix}{field}": value for field, value in COMPLETE_VALUES.items()})
    succeeded = Q(**{f"{prefix}state": State.SUCCEEDED})
    match name:
        case "complete":
            return succeeded & whole
        case "partial":
            return succeeded & ~whole
        case _:
            return Q(**{f"{prefix}state": State(name)})


class RegistryFilter(ModelAnyOf):
    """Rows of any of the chosen registries; to choose from are those that whoever asks may see."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(
            label=_("Registry"),
            queryset=lambda request: Registry.objects.present().only("name").order_by("name", "pk"),
            **kwargs,
        )


def _last_results() -> dict[str, Q | Exists]:
    running = SyncRun.objects.filter(registry=OuterRef("pk"), state__in=State.active())
    results = {name: result_condition(name, "last_sync__") for name in RESULT_LABELS}
    return {"running": Exists(running), "never": Q(last_sync=None), **results}


class RegistryFilters(ListingFilterSet):
    """What Image repository management can be narrowed to."""

    type = AnyOf(label=_("Repository type"), choices=[(name, each.label) for name, each in DECLARATIONS.items()])
    connection = AnyOf(label=_("Connection status"), choices=Registry.Connection.choices)
    result = AnyCondition(
        label=_("Last result"),
        choices=[("running", _("Syncing")), *RESULT_LABELS.items(), ("never", _("Never synced"))],
        conditions=_last_results,
    )

    placeholder = _("Instance name or address")
    prominent = ("type", "connection", "result")

    class Meta:
        model = Registry
        fields: list[str] = []
        form = forms.Form

    def matches(self, word: str) -> Q:
        """Return where ``word`` is in the name or the address."""
        return Q(name__icontains=word) | Q(address__icontains=word)


class SyncFilters(ListingFilterSet):
    """What the sync records can be narrowed to."""

    result = AnyCondition(
        label=_("Result"),
        choices=[("running", _("Running or queued")), *RESULT_LABELS.items()],
        conditions={"running": Q(state__in=State.active()), **{name: result_condition(name) for name in RESULT_LABELS}},
    )
    registry = RegistryFilter()
    trigger = AnyOf(label=_("Started by"), choices=SyncRun.Trigger.choices)

    placeholder = _("Registry, reason or remedy")
    prominent = ("result", "registry", "trigger")

    class Meta:
        model = SyncRun
        fields: list[str] = []
        form = forms.Form

    def matches(self, word: str) -> Q:
        """Return where ``word`` is in the name of the registry, the reason or the remedy."""
        return Q(registry__name__icontains=word) | message_contains("reason", word) | message_contains("remedy", word)
