"""Whoever is limited to some registries sees no other: every address, tried with what is hidden and looked through.

HIDDEN_ROWS is the whole table: an address that names a row and is not in it fails the first test. What runs outside of
a request is in test_scope_jobs.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from django.apps import apps
from django.urls import reverse

from console.listing.registered_listings import LISTINGS
from console.models import Export, User
from console.visibility import ScopedManager
from registries.models import SyncRun
from scanning.models import Scan, ScanRun
from tests.people import person
from tests.scope_world import (
    HIDDEN_NAME,
    ScopeWorld,
    add_own_rows,
    anew,
    build_world,
    client_of,
    hidden_lines,
)
from tests.test_access import ADDRESSES, NEEDED, NEVER, RANK

pytestmark = pytest.mark.django_db

OWN = "own"  # a row of this person, made before there was a limit
NOBODY = "no row of a registry"
# Address with a row in it → the keys of that row in World.hidden; or why there is nothing to hide.
HIDDEN_ROWS: dict[str, tuple[str, ...] | str] = {
    "console:view-list": NOBODY,
    "console:view-save": NOBODY,
    "console:view-default": NOBODY,
    "console:view": NOBODY,
    "console:export-start": NOBODY,  # looked at by test_a_part_of_something_hidden_is_as_empty_as_one_of_nothing
    "console:export-file": ("export",),
    "console:export-cancel": ("export",),
    "console:export-remove": ("export",),
    "registries:test": ("test",),
    "registries:push-events": ("registry",),
    "registries:registry-detail": ("registry",),
    "registries:registry-edit": ("registry",),
    "registries:registry-delete": ("registry",),
    "registries:delete-again": ("registry",),
    "registries:sync": ("registry",),
    "registries:cancel-sync": ("registry",),
    "registries:registry-test": ("registry",),
    "registries:tencent-account-edit": ("account",),
    "registries:tencent-account-discover": ("account",),
    "registries:tencent-account-restore": ("account",),
    "registries:tencent-account-delete": ("account",),
    "inventory:image": ("tag",),
    "scanning:chooser": NOBODY,  # the own one: its lists are looked through
    "scanning:run": ("run",),
    "scanning:run-progress": ("run",),
    "scanning:run-cancel": ("run",),
    "scanning:run-again": ("run",),
    "scanning:scan-columns": ("run",),
    "scanning:affected-columns": ("vulnerability",),
    "scanning:holder-columns": ("package",),
    "scanning:vulnerability-images": ("vulnerability",),
    "scanning:vulnerability": ("name",),
    "scanning:package": ("package",),
    "scanning:package-images": ("package",),
    "scanning:schedule": ("schedule",),
    "scanning:schedule-run": ("schedule",),
    "scanning:schedule-delete": ("schedule",),
    "scanning:rematch": NOBODY,  # of the database; its rows are looked through
    "scanning:vulnerabilities": ("tag",),
    "scanning:malware": ("tag",),
    "scanning:sensitive": ("tag",),
    "scanning:packages": ("tag",),
    "scanning:vulnerabilities-columns": ("tag",),
    "scanning:malware-columns": ("tag",),
    "scanning:sensitive-columns": ("tag",),
    "scanning:packages-columns": ("tag",),
    "scanning:history": ("tag",),
    "scanning:history-export": ("tag",),
}
LEAVING = {"console:sign-out", "console:end-sessions", "console:sso", "console:sso-callback"}
# Models that have no rows of a registry, or are reached through an image or a package that is seen alone.
EVERYBODYS = {
    "console.FileChunk",
    "console.FleetVersion",
    "console.Machine",
    "console.SharedFile",
    *("console.Team", "console.User", "console.JobEvent", "console.HealthProbe", "console.ScanHealthProbe"),
    "console.AuditEvent",  # administrators alone open it
    *("inventory.Manifest", "inventory.PlatformManifest", "inventory.Layer", "inventory.ManifestLayer"),  # by digest
    *("inventory.Snapshot", "console.CachedCount"),  # by the key of a scope
    "scanning.LayerResult",  # by digest
    *("scanning.VulndbUpdate", "scanning.Rematch", "scanning.ExposureRecount", "scanning.ScanSettings"),
    *(
        "scanning.RegistrySet",
        "scanning.PackageOverlap",
        "scanning.VulnerabilityOverlap",
    ),  # figures, see scanning.exposure.scoped_queries
}


@pytest.fixture
def world() -> ScopeWorld:
    return build_world()


def leaks(answer: Any) -> list[str]:
    """Return where an answer tells of what is hidden."""
    body = anew(b"".join, answer) if answer.streaming else answer.content
    return hidden_lines(body.decode(errors="replace") + str(dict(answer.headers)))


def may(name: str, method: str, role: str) -> bool:
    least = getattr(ADDRESSES[name], method)
    return bool(least != NEVER and RANK[role] >= NEEDED[least])


def test_every_address_with_a_row_is_in_the_table() -> None:
    assert {name for name, each in ADDRESSES.items() if each.arguments} == HIDDEN_ROWS.keys()


def test_every_model_says_which_of_its_rows_somebody_sees() -> None:
    names = ("console", "registries", "inventory", "scanning")
    ours = [model for name in names for model in apps.get_app_config(name).get_models()]
    unscoped = {model._meta.label for model in ours if not isinstance(model._default_manager, ScopedManager)}
    assert unscoped == EVERYBODYS


@pytest.mark.parametrize("role", ["viewer", "operator"])
def test_what_is_hidden_is_not_there(role: str, world: ScopeWorld) -> None:
    user = world.limited(role)
    rows, client = world.hidden | add_own_rows(world, user), client_of(user)
    for name, keys in HIDDEN_ROWS.items():
        if keys == NOBODY:
            continue
        url = reverse(name, args=[rows[key] for key in keys])
        for method in ("get", "post"):
            for headers in ({}, {"HX-Request": "true", "HX-Target": "list"}):
                answer = getattr(client, method)(url, headers=headers)
                refused = 405 if getattr(ADDRESSES[name], method) == NEVER else 403
                expected = 404 if may(name, method, role) else refused
                assert (answer.status_code, leaks(answer)) == (expected, []), (name, method, headers)


def addresses(world: ScopeWorld, user: User) -> Iterator[tuple[str, str]]:
    """Yield every address that opens for somebody, with rows that this person sees."""
    rows = world.seen | add_own_rows(world, user)
    for name, each in ADDRESSES.items():
        if name not in LEAVING and all(key in rows for key in each.arguments):
            yield name, reverse(name, args=[rows[key] for key in each.arguments])


# As an address asks for it; {zebra}, {seen} and {hidden} are ids.
QUERIES = (
    "",
    "?registry={zebra}&size=100",
    "?ids={seen}&ids={hidden}&drawer={hidden}&visible={zebra}",
    "?scope=chosen",
)


@pytest.mark.parametrize("query", QUERIES)
@pytest.mark.parametrize("role", ["viewer", "operator"])
def test_no_page_names_or_counts_what_is_hidden(role: str, query: str, world: ScopeWorld) -> None:
    user = world.limited(role)
    client = client_of(user)
    query = query.format(zebra=world.zebra.pk, seen=world.seen["tag"], hidden=world.hidden["tag"])
    looked = 0
    for name, url in addresses(world, user):
        if may(name, "get", role):
            for headers in ({}, {"HX-Request": "true", "HX-Target": "list"}):
                answer = client.get(f"{url}{query}", headers=headers, follow=True)
                assert answer.status_code in {200, 204, 404}, name
                assert leaks(answer) == [], (name, headers)
                looked += 1
    assert looked > 60


def test_no_sort_or_search_tells_of_what_is_hidden(world: ScopeWorld) -> None:
    client = client_of(world.limited("viewer"))
    for each in LISTINGS.values():
        if not each.page or each.page == "console:audit-list":
            continue
        url = reverse(each.page)
        for column in each.listing.columns:
            if column.sort:
                for sort in (column.name, f"-{column.name}"):
                    answer = client.get(url, {"sort": sort})
                    assert (answer.status_code, leaks(answer)) == (200, []), sort
        found = client.get(url, {"q": HIDDEN_NAME}).context["page"]
        assert found.total.number == 0, url


def facts(world: ScopeWorld) -> list[Any]:
    """What the hidden registry and its work come to."""
    scans = Scan.objects.filter(registry=world.zebra).order_by("pk")
    syncs = SyncRun.objects.filter(registry=world.zebra).order_by("pk")
    return [
        list(scans.values_list("pk", "state", "cancel_requested_at")),
        list(syncs.values_list("pk", "state", "cancel_requested_at")),
        list(ScanRun.objects.filter(pk=world.hidden["run"]).values_list("state", "cancel_requested_at")),
        Export.objects.filter(description__contains=HIDDEN_NAME).count(),
    ]


@pytest.mark.parametrize("which", ["everything", "some", "chosen", "everywhere"])
def test_nothing_that_a_limited_operator_does_touches_or_tells_of_what_is_hidden(which: str, world: ScopeWorld) -> None:
    user = world.limited("operator")
    client = client_of(user)
    everything = {"all": "1", "view": "", "format": "csv", "scope": "all", "categories": ["malware"], "timeout": "30"}
    tag = world.hidden["tag"]
    some = everything | {"ids": [tag, world.zebra.pk, world.hidden["run"]], "visible": f"{tag},{world.zebra.pk}"}
    del some["all"]
    chosen = some | {"move": "right", "left-q": ""}
    everywhere = everything | {"everything": "1", "visible": str(world.zebra.pk)}
    forms = {"everything": everything, "some": some, "chosen": chosen, "everywhere": everywhere}
    done = 0
    targets = list(addresses(world, user))
    before = facts(world)
    for name, url in targets:
        if not may(name, "post", "operator") or name.startswith("console:account"):
            continue
        for headers in ({}, {"HX-Request": "true", "HX-Target": "registry-progress"}):
            answer = client.post(url, forms[which], headers=headers, follow=True)
            assert leaks(answer) == [], (name, which)
            assert facts(world) == before, (name, which)
            done += 1
    assert done > 25


def test_a_part_of_something_hidden_is_as_empty_as_one_of_nothing(world: ScopeWorld) -> None:
    client = client_of(world.limited("operator"))
    for listing, key in (
        *((name, "tag") for name in ("vulnerabilities", "malware", "sensitive", "packages")),
        ("scans", "run"),
        ("affected", "vulnerability"),
        ("holders", "package"),
    ):
        told = [
            client.post(reverse("console:export-start", args=[listing, row]), {"all": "1", "format": "csv"})
            for row in (world.hidden[key], 10**9)
        ]
        assert told[0].content == told[1].content, listing
        assert told[0].status_code == told[1].status_code, listing


# Pages that name or count it to whoever is not limited: else the tests above would find nothing.
TELLING = {
    *("inventory:image-list", "inventory:image", "registries:registry-list", "registries:progress"),
    *("registries:sync-list", "registries:tencent-account-list", "scanning:settings"),
    *("scanning:run-list", "scanning:run", "scanning:vulnerability-list", "scanning:package-list"),
    *("scanning:vulnerability", "scanning:schedule", "scanning:engines", "scanning:rematch", "console:view-list"),
}


def test_who_is_not_limited_sees_it_all(world: ScopeWorld) -> None:
    client = client_of(person("operator"))
    for name, url in addresses(world, person("viewer")):
        if name in TELLING:
            assert leaks(client.get(url)), name
