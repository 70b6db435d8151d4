"""Repository images: what the page shows, to whom, and what search and filters find."""

from __future__ import annotations

import re

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from console.jobs.models import State
from console.models import AuditEvent
from inventory.dashboard import figures as dashboard_figures
from inventory.models import Tag
from registries.models import SyncRun
from tests import factories
from tests.people import person

pytestmark = pytest.mark.django_db
HTMX = {"HX-Request": "true", "HX-Target": "list"}


@pytest.fixture
def viewer(client: Client) -> Client:
    client.force_login(person("viewer"), backend="django.contrib.auth.backends.ModelBackend")
    return client


@pytest.fixture
def operator(client: Client) -> Client:
    client.force_login(person("operator"), backend="django.contrib.auth.backends.ModelBackend")
    return client


def shown(client: Client, **query: object) -> list[str]:
    page = client.get(reverse("inventory:image-list"), query).context["page"]
    return sorted(row.name for row in page.rows)


def test_nobody_sees_images_without_signing_in(client: Client) -> None:
    for url in (reverse("inventory:image-list"), reverse("inventory:image", args=[1])):
        assert client.get(url).status_code == 302


def test_without_images_the_page_says_what_to_do_first(viewer: Client) -> None:
    text = viewer.get(reverse("inventory:image-list")).content.decode()
    assert "No images yet" in text
    text = viewer.get(reverse("inventory:image-list"), {"q": "nothing"}).content.decode()
    assert "No tags match" in text
    assert "Clear filters" in text


def test_htmx_gets_the_list_alone_and_its_address_a_return_by_history_the_page(viewer: Client) -> None:
    factories.tag()
    url = reverse("inventory:image-list")
    part = viewer.get(url, {"q": "team", "status": "nope", "page": "1"}, headers=HTMX)
    assert "<html" not in part.content.decode()
    assert part["HX-Push-Url"] == f"{url}?q=team"
    assert "HX-Request" in part["Vary"]
    whole = viewer.get(url, headers=HTMX | {"HX-History-Restore-Request": "true"})
    assert "<html" in whole.content.decode()


def test_a_search_finds_address_name_tag_digest_and_image_id(viewer: Client) -> None:
    registry = factories.registry(address="https://harbor.test:8443")
    image = factories.image(image_id="sha256:" + "c0ffee" * 10 + "0000")
    digest = "sha256:" + "ab12cd" * 10 + "0000"
    factories.tag("2.14.3", of=image, path="payments/ledger-api", in_=registry, digest=digest)
    factories.tag("other")
    for word in (
        "ledger",
        "LEDGER-API",
        "harbor.test:8443/payments",
        "2.14",
        "ledger-api:2.14",
        "harbor.test:8443/payments/ledger-api:2.14.3",
        "ab12cd",
        "sha256:ab12cd",
        "AB12CDAB",
        "ledger-api@sha256:ab12cdab",
        "c0ffee",
        "sha256:c0ffeec0ffee",
        "ledger 2.14",
    ):
        assert shown(viewer, q=word) == ["2.14.3"], word
    for word in ("ab12c", "b12cda", "sha256:b12cda", "ledger other", "ledger%", "2_14"):
        assert shown(viewer, q=word) == [], word


def test_filters_combine(viewer: Client) -> None:
    harbor, quay = factories.registry(type="harbor"), factories.registry(type="quay")
    risky = factories.scanned(critical=1, fixable=1)
    factories.tag("risky", of=factories.image(**risky), in_=harbor)
    factories.tag("high", of=factories.image(**factories.scanned(high=2)), in_=quay)
    factories.tag("clean", of=factories.image(**factories.scanned()), in_=quay)
    for name, coverage in (("malware alone", ""), ("encrypted", "partial"), ("cut database", "failed")):
        partly = factories.scanned(vulnerabilities_coverage=coverage)
        factories.tag(name, of=factories.image(**partly), in_=quay)
    factories.tag("fresh", in_=harbor)
    factories.tag("queued", of=factories.image(scan_state="queued"), in_=harbor)
    factories.tag("running", of=factories.image(scan_state="running"), in_=quay)
    factories.tag("failed", of=factories.image(scan_state="failed"), in_=quay)
    unread = factories.tag("unread", in_=quay)
    Tag.objects.filter(pk=unread.pk).update(image=None)
    assert shown(viewer, security="at-risk") == ["high", "risky"]
    assert shown(viewer, security="safe") == ["clean"]
    assert shown(viewer, security="partly-scanned") == ["cut database", "encrypted", "malware alone"]
    assert shown(viewer, security="not-known") == ["failed", "fresh", "queued", "running", "unread"]
    assert shown(viewer, status="scanning") == ["queued", "running"]
    assert shown(viewer, status="not-scanned") == ["fresh", "unread"]
    assert shown(viewer, status=["failed", "scanned"], type="quay") == [
        *("clean", "cut database", "encrypted", "failed", "high", "malware alone"),
    ]
    assert shown(viewer, severity=["critical", "high"]) == ["high", "risky"]
    assert shown(viewer, severity="critical", registry=quay.pk) == []
    assert shown(viewer, fixable="yes") == ["risky"]


def test_the_figures_count_each_image_once_whatever_tags_it_has() -> None:
    image = factories.image(**factories.scanned(critical=2, low=3, fixable=4, viruses=1, trojans=1, sensitive=5))
    factories.tag("a", of=image)
    factories.tag("b", of=image)
    factories.tag("clean", of=factories.image(**factories.scanned()))
    factories.tag("fresh")
    factories.image(**factories.scanned(critical=100))  # no tag names it any more
    figures = dashboard_figures.read_overview()
    assert (figures.images, figures.scanned, figures.at_risk) == (3, 2, 1)
    assert (figures.vulnerabilities, figures.fixable, figures.malware, figures.sensitive) == (5, 4, 2, 5)
    assert [(share.name, share.count, share.start, share.width) for share in figures.severities][:1] == [
        ("critical", 2, 0.0, 40.0)
    ]
    assert (figures.images_with_malware, figures.images_with_sensitive) == (1, 1)


def test_the_figures_say_of_how_many_images_they_are(viewer: Client) -> None:
    nobody = dict.fromkeys(("critical", "high", "medium", "low", "unknown", "fixable", "sensitive"))
    coverage = {"vulnerabilities_coverage": "", "sensitive_coverage": ""}
    factories.tag("malware alone", of=factories.image(**factories.scanned() | nobody | coverage))
    factories.tag("fresh")
    figures = dashboard_figures.read_overview()
    assert (figures.vulnerabilities, figures.sensitive, figures.malware) == (None, None, 0)
    assert (figures.safe, figures.partly_scanned, figures.not_known, figures.at_risk) == (0, 1, 1, 0)
    text = viewer.get(reverse("inventory:image-list")).content.decode()
    assert "in 0 of 1 image scanned" in text
    assert text.count('<b class="faint">–</b>') == 2
    assert re.search(r'security=partly-scanned">1 partly scanned<', text)


def test_registries_whose_last_sync_failed_do_not_count_as_synced(viewer: Client) -> None:
    factories.tag()
    for state in (State.SUCCEEDED, State.FAILED):
        registry = factories.registry()
        registry.last_sync = SyncRun.objects.create(registry=registry, state=state, ended_at=timezone.now())
        registry.save()
    assert "1 of 3 registries" in viewer.get(reverse("inventory:image-list")).content.decode()


def test_nothing_found_not_known_and_failed_look_different(viewer: Client) -> None:
    factories.tag("clean", of=factories.image(**factories.scanned()))
    factories.tag("fresh")
    factories.tag("busy", of=factories.image(scan_state="running", scan_stage="pulling", scan_percent=40))
    reason = {"scan_reason": "The registry has no such layer.", "scan_remedy": "Push the image again."}
    factories.tag("failed", of=factories.image(scan_state="failed", **reason))
    text = viewer.get(reverse("inventory:image-list")).content.decode()
    factories.tag("partly", of=factories.image(**factories.scanned(malware_coverage="partial")))
    text = viewer.get(reverse("inventory:image-list")).content.decode()
    assert text.count("#i-shield") == text.count("0 found") == 1
    for part in ("0 found", "Partly scanned", "Not known", "Not known yet", "pulling · 40 %", *reason.values()):
        assert part in text
    for state in ("scanned", "not-scanned", "running", "failed"):
        assert f'data-state="{state}"' in text


def test_only_operators_are_offered_and_allowed_to_scan_and_export(client: Client) -> None:
    factories.tag()
    for role, may in (("viewer", False), ("operator", True), ("administrator", True)):
        client.force_login(person(role), backend="django.contrib.auth.backends.ModelBackend")
        text = client.get(reverse("inventory:image-list")).content.decode()
        assert ("Scan now" in text) is may
        assert ("image-export" in text or "/export/" in text) is may
        response = client.post(reverse("inventory:image-export"), {"all": "1"})
        assert response.status_code == (200 if may else 403)
    assert AuditEvent.objects.filter(action="export", target="images").count() == 2


def test_names_from_a_registry_are_shown_as_text(viewer: Client) -> None:
    nasty = '"><script>alert(1)</script>'
    registry = factories.registry(name=nasty)
    image = factories.image(history=[{"created_by": nasty}], scan_state="failed", scan_reason=nasty)
    tag = factories.tag(nasty[:100], of=image, path=f"a/{nasty}", in_=registry)
    for url in (reverse("inventory:image-list"), reverse("inventory:image", args=[tag.pk])):
        text = viewer.get(url).content.decode()
        assert "<script>alert" not in text
        assert "&lt;script&gt;alert" in text


def test_an_image_has_an_address_and_shows_all_tags_that_name_it(viewer: Client) -> None:
    image = factories.image(**factories.scanned(critical=4))
    tag = factories.tag("2.14.3", of=image, path="payments/ledger-api")
    other = factories.tag("mirror", of=image, path="mirror/ledger-api")
    url = reverse("inventory:image", args=[tag.pk])
    whole = viewer.get(url).content.decode()
    assert "<html" in whole
    drawer = viewer.get(url, headers={"HX-Request": "true", "HX-Target": "drawer"}).content.decode()
    assert "<html" not in drawer
    for text in (whole, drawer):
        assert tag.digest in text
        assert image.image_id in text
        assert reverse("inventory:image", args=[other.pk]) in text
        assert reverse("scanning:vulnerabilities", args=[tag.pk]) in text
    assert (
        reverse("scanning:malware", args=[tag.pk]) + "?q=x"
        in viewer.get(url, {"tab": "malware", "q": "x"}).content.decode()
    )
    assert viewer.get(reverse("inventory:image", args=[10**6])).status_code == 404


def test_a_tag_whose_image_could_not_be_read_is_shown_all_the_same(viewer: Client) -> None:
    tag = factories.tag("broken")
    Tag.objects.update(image=None)
    assert shown(viewer) == ["broken"]
    for url in (reverse("inventory:image", args=[tag.pk]), *tab_urls(tag)):
        response = viewer.get(url)
        assert response.status_code == 200
        assert "could not be read" in response.content.decode()


def tab_urls(tag: Tag) -> list[str]:
    tabs = ("vulnerabilities", "malware", "sensitive", "packages", "history")
    return [reverse(f"scanning:{name}", args=[tag.pk]) for name in tabs]


@pytest.mark.parametrize(
    ("role", "registries", "told", "link"),
    [
        ("administrator", 0, "Add an image repository; its images appear", "registries:registry-add"),
        ("operator", 0, "Registries are added by administrators.", None),
        ("operator", 1, "Sync assets lists the content of the registries", "registries:registry-list"),
    ],
)
def test_without_images_the_page_says_what_this_person_can_do_next(
    client: Client, role: str, registries: int, told: str, link: str | None
) -> None:
    client.force_login(person(role), backend="django.contrib.auth.backends.ModelBackend")
    for _n in range(registries):
        factories.registry()
    html = client.get("/images/").content.decode()
    empty = html[html.index('class="empty"') :].split("</section>")[0]
    assert told in empty
    assert re.findall('<a [^>]*href="([^"]*)"', empty) == ([reverse(link)] if link else [])


@pytest.mark.parametrize("name", ["vulnerability-list", "package-list", "run-list"])
def test_an_empty_list_offers_a_scan_to_those_who_may_start_one(client: Client, name: str) -> None:
    for role, offered in (("viewer", False), ("operator", True)):
        client.force_login(person(role), backend="django.contrib.auth.backends.ModelBackend")
        html = client.get(reverse(f"scanning:{name}")).content.decode()
        empty = html[html.index('class="empty"') :].split("</section>")[0]
        assert (f'href="{reverse("scanning:settings")}"' in empty) is offered, role
