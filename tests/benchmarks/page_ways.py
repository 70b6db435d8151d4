"""In which ways the benchmark of pages asks each page: every order, filter and size of a list, and its last page."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django import forms
from django.contrib import admin
from django.http import QueryDict
from django.urls import reverse

from console.listing import Listing
from console.listing.registered_listings import LISTINGS, get_listing
from tests.pages import addresses

SEARCH_WORDS = {
    "images": ("ledger", "a", "sha256:ab12cd", "nowhere-at-all", "payments api 1.2"),
    "registries": ("harbor",),
    "syncs": ("harbor",),
    "runs": ("nobody",),
    "scans": ("app", "nowhere-at-all"),
    "schedules": ("all",),
    "vulnerabilities": ("CVE-2023", "openssl"),
    "malware": ("xmrig",),
    "sensitive": ("env",),
    "packages": ("lib", "nowhere-at-all"),
    "reach": ("CVE-2021-44228", "log4j", "openssl", "nowhere-at-all"),
    "reach-packages": ("log4j", "openssl", "1.2", "nowhere-at-all"),
    "affected": ("payments", "nowhere-at-all"),
    "holders": ("payments", "nowhere-at-all"),
    "audit": ("person-7", "harbor/team-999", "nowhere-at-all"),
    "exports": ("rows",),
}
# What people combine.
COMBINED_QUERIES = {
    "images": (
        "?sort=-risks&security=at-risk&size=100",
        "?sort=-last_scanned&type=harbor&severity=critical",
        "?status=failed&sort=-last_scanned&q=api",
        "?status=scanned&sort=status&registry=1",
    ),
    "reach": ("?q=openssl&fixable=yes", "?sort=-first_seen&seen=30", "?registry=1&severity=critical&type=npm"),
    "reach-packages": ("?sort=-findings&risk=yes&type=maven", "?registry=2&severity=critical"),
    "affected": ("?q=payments&status=scanned",),
    "vulnerabilities": ("?severity=critical&fixable=yes",),
}
# Lists that are part of the page of one thing: its URL name.
PART_PARAMETERS = {
    "scanning:run": "scans",
    "scanning:vulnerability": "affected",
    "scanning:package": "holders",
    "scanning:vulnerabilities": "vulnerabilities",
    "scanning:malware": "malware",
    "scanning:sensitive": "sensitive",
    "scanning:packages": "packages",
}
OTHER_QUERIES = {
    "scanning:settings": ("?scope=all", "?scope=chosen&left-q=ledger", "?scope=chosen&left-page=200"),
    "scanning:cost": tuple(
        f"?scope={scope}&timeout=30&categories=vulnerabilities&categories=malware&categories=sensitive"
        for scope in ("recommended", "all", "chosen")
    ),
    "scanning:progress": ("?ids=1&ids=2&ids=3",),
    "inventory:image": tuple(f"?tab={name}" for name in ("malware", "sensitive", "packages", "history")),
    "registries:guide": ("?type=aws",),
}
SEARCHED_IN_ADMIN = {"Tag": "ledger", "ImagePackage": "openssl", "Scan": "app", "Image": "sha256:ab"}


def page_queries(*, last: dict[str, int]) -> Iterator[tuple[str, str]]:
    """Yield name and address of each way; ``last`` are the rows of long lists, by name."""
    pages = {row.page: name for name, row in LISTINGS.items() if row.page} | PART_PARAMETERS
    for name, path in addresses():
        if name.startswith(("console:sign-", "console:sso")):
            continue
        yield name, path
        for query in OTHER_QUERIES.get(name, ()):
            yield name + query, path + query
        if listing := pages.get(name):
            for query in list_queries(get_listing(listing), last.get(listing, 0)):
                yield name + query, path + query
    yield from admin_queries()


def list_queries(listing: Listing[Any], rows: int) -> Iterator[str]:
    """Yield the queries that ask for each order, each filter and each word of a list, and for its last page."""
    for column in listing.columns:
        if column.sort:
            yield f"?sort={column.name}"
            yield f"?sort=-{column.name}"
    for name, field in listing.filterset(QueryDict(), queryset=listing.queryset()).form.fields.items():
        if isinstance(field, forms.MultipleChoiceField | forms.ModelMultipleChoiceField):
            for value, _label in list(field.choices)[:8]:
                yield f"?{name}={value}"
    for word in SEARCH_WORDS[listing.name]:
        yield f"?q={word.replace(' ', '+')}"
    yield from COMBINED_QUERIES.get(listing.name, ())
    yield "?size=100"
    for size in (20, 100):
        if rows > 10 * size:
            yield f"?size={size}&page={-(-rows // size)}"
            yield f"?size={size}&page={-(-rows // size)}&sort=-{listing.default_sort.removeprefix('-')}"


def admin_queries() -> Iterator[tuple[str, str]]:
    """Yield the lists of Django admin, the last page of each, and searches in the large ones."""
    yield "admin:index", reverse("admin:index")
    for model in admin.site._registry:
        name = f"admin:{model._meta.app_label}_{model._meta.model_name}_changelist"
        path = reverse(name)
        yield name, path
        if word := SEARCHED_IN_ADMIN.get(model.__name__):
            yield f"{name}?q={word}", f"{path}?q={word}"
