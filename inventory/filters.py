"""Filters of Repository images."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Protocol

from django import forms
from django.db.models import Q, QuerySet
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from console.extension_points import SingleExtensionPoint
from console.listing import AnyCondition, AnyOf, ListingFilterSet
from inventory.models import Image, Tag
from registries.models import Registry
from registries.tables.filters import RegistryFilter

MAX_MATCHING_IMAGES = 1000  # whose ID begins as searched for: there is about one in 16 million for six digits
DIGEST_PATTERN = re.compile(r"(?:(?P<algorithm>sha256|sha512):)?(?P<digits>[0-9a-f]{6,128})", re.IGNORECASE)

# word in the address → states of an image, and the words on screen
STATES_BY_STATUS = {
    "not-scanned": (Image.ScanState.NOT_SCANNED,),
    "scanning": Image.ScanState.active(),
    "scanned": (Image.ScanState.SCANNED,),
    "failed": (Image.ScanState.FAILED,),
    "cancelled": (Image.ScanState.CANCELLED,),
}
STATUS_CHOICES = [(name, states[0].label) for name, states in STATES_BY_STATUS.items()]
SECURITY_CONDITIONS = {
    name: Q(image__security=name) | (Q(image=None) if name == Image.Security.NOT_KNOWN else Q())
    for name in (
        Image.Security.AT_RISK.value,
        Image.Security.SAFE.value,
        Image.Security.PARTLY_SCANNED.value,
        Image.Security.NOT_KNOWN.value,
    )
}
SECURITY_CHOICES = [(name, Image.Security(name).label) for name in SECURITY_CONDITIONS]
SEVERITY_CONDITIONS = {
    severity.name.lower(): Q(**{f"image__{severity.name.lower()}__gt": 0}) | Q(image__highest=severity)
    for severity in sorted(Image.Severity, reverse=True)
    if severity is not Image.Severity.NONE
}
SEVERITY_CHOICES = [(name, Image.Severity[name.upper()].label) for name in SEVERITY_CONDITIONS]
FIXABLE_CONDITIONS = {"yes": Q(image__fixable__gt=0), "no": Q(image__fixable=0)}
MISSING_CONDITIONS = {"yes": Q(missing_since__isnull=False)}
MISSING_CHOICES = [("yes", _("Missing in the registry"))]
FIXABLE_CHOICES = [("yes", _("Has fixable vulnerabilities")), ("no", _("Has no fixable vulnerabilities"))]


class CoverageCondition(Protocol):
    """Returns where the field ``image`` names an image that any of ``words`` is true of."""

    def __call__(self, words: Iterable[str], *, image: str) -> Q: ...


@dataclass(frozen=True)
class CoverageChoices:
    """How well images were looked at: the words, with their labels, and what they mean."""

    choices: Callable[[], list[tuple[str, Promise]]]
    condition: CoverageCondition


COVERAGE: SingleExtensionPoint[CoverageChoices] = SingleExtensionPoint("coverage of images")


class CoverageFilter(AnyOf):
    """Images that were looked at in any of the ways that are registered."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(choices=lambda: COVERAGE.get().choices(), **kwargs)

    def filter(self, qs: QuerySet[Any], value: Any) -> QuerySet[Any]:
        return qs.filter(COVERAGE.get().condition(value, image="image")) if value else qs


class ImageFilters(ListingFilterSet):
    """What Repository images can be narrowed to."""

    status = AnyCondition(
        label=_("Scanning status"),
        choices=STATUS_CHOICES,
        conditions={
            name: Q(image__scan_state__in=states) | (Q(image=None) if name == "not-scanned" else Q())
            for name, states in STATES_BY_STATUS.items()
        },
    )
    security = AnyCondition(label=_("Security status"), choices=SECURITY_CHOICES, conditions=SECURITY_CONDITIONS)
    type = AnyOf(label=_("Repository type"), field_name="registry__type", choices=Registry.Type.choices)
    registry = RegistryFilter(field_name="registry")
    severity = AnyCondition(label=_("Severity"), choices=SEVERITY_CHOICES, conditions=SEVERITY_CONDITIONS)
    fixable = AnyCondition(label=_("Fixable"), choices=FIXABLE_CHOICES, conditions=FIXABLE_CONDITIONS)
    coverage = CoverageFilter(label=_("Coverage"))
    missing = AnyCondition(label=_("Missing"), choices=MISSING_CHOICES, conditions=MISSING_CONDITIONS)

    placeholder = _("Address, name, tag, digest or image ID")
    prominent = ("status", "security", "type")

    class Meta:
        model = Tag
        fields: list[str] = []
        form = forms.Form

    def matches(self, word: str) -> Q:
        """Return where ``word`` is in the address or the tag, is ``path:tag``, or begins a digest or an image ID."""
        found = Q(address__icontains=word) | Q(name__icontains=word)
        if digest := DIGEST_PATTERN.fullmatch(word.rpartition("@")[2]):
            start = f"{(digest['algorithm'] or 'sha256').lower()}:{digest['digits'].lower()}"
            # Asked for first: with a condition over the join, or with a query in it, no index could be used.
            images = Image.objects.filter(image_id__startswith=start).order_by("pk").values_list("pk", flat=True)
            by_digest = Q(digest__startswith=start) | Q(image__in=list(images[:MAX_MATCHING_IMAGES]))
            return by_digest if digest["algorithm"] else found | by_digest  # no address or tag reads "sha256:…"
        path, colon, tag = word.rpartition(":")
        return found | Q(address__iendswith=path, name__istartswith=tag) if colon and path else found
