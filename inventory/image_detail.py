"""What the drawer of one image shows above its findings."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.db.models import QuerySet
from django.http import QueryDict
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from console.listing import detail_panel
from inventory.models import Image, Tag

MAX_SHOWN_TAGS = 30
TAB_LABELS: dict[str, Promise] = {
    "vulnerabilities": _("Vulnerabilities"),
    "malware": _("Viruses and trojans"),
    "sensitive": _("Sensitive data"),
    "packages": _("Packages"),
    "history": _("Image build history"),
}


@dataclass(frozen=True)
class Tab:
    """One tab of the drawer. ``view`` is the URL name of its content.

    ``count`` is None where it is not known, which is so of a zero too where not everything was looked at.
    """

    name: str
    label: Promise
    count: int | None

    @property
    def view(self) -> str:
        """URL name of the page that fills the tab; scanning declares it."""
        return f"scanning:{self.name}"


def tags_with_detail() -> QuerySet[Tag]:
    """Return tags with all that the drawer shows of them."""
    return Tag.objects.select_related("image", "manifest", "repository", "registry")


def context(tag: Tag, *, tab: str, query: QueryDict) -> dict[str, Any]:
    """Return what the templates of the drawer need; ``tab`` is the name of the open one, the first where unknown."""
    name = tab if tab in TAB_LABELS else next(iter(TAB_LABELS))
    remaining = query.copy()
    remaining.pop("tab", None)
    remaining.pop(detail_panel.LIST_PARAMETER, None)
    return {
        "row": tag,
        "image": tag.image,
        "tabs": _tabs(tag.image),
        "tab": name,
        "tab_query": f"?{remaining.urlencode()}" if remaining else "",
        "layers": tag.image.image_layers.count() if tag.image else None,
        **_siblings(tag),
    }


def _tabs(image: Image | None) -> list[Tab]:
    counts = {
        "vulnerabilities": _count(image, "vulnerabilities", "vulnerabilities"),
        "malware": _count(image, "malware", "malware"),
        "sensitive": _count(image, "sensitive", "sensitive"),
        "packages": _count(image, "packages", "vulnerabilities"),
        "history": len(image.history) if image and image.config_known else None,
    }
    return [Tab(name, label, counts[name]) for name, label in TAB_LABELS.items()]


def _count(image: Image | None, name: str, category: str) -> int | None:
    count: int | None = getattr(image, name) if image else None
    return count if count or getattr(image, f"{category}_coverage", "") == Image.Coverage.DONE else None


def _siblings(tag: Tag) -> dict[str, Any]:
    """Return the tags of all registries that name the same image: this one, those of its address, then others."""
    if tag.image_id is None:
        return {"siblings": [tag], "more_siblings": 0}
    same = Tag.objects.filter(image=tag.image_id).exclude(pk=tag.pk).order_by("address", "name", "pk")
    found = list(same.only("name", "address")[: MAX_SHOWN_TAGS + 1])
    more = same.count() - MAX_SHOWN_TAGS if len(found) > MAX_SHOWN_TAGS else 0
    found.sort(key=lambda other: other.address != tag.address)
    return {"siblings": [tag, *found[:MAX_SHOWN_TAGS]], "more_siblings": more}
