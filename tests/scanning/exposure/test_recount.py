"""Where is CVE-…, where is log4j: the figures, when they are counted, and what the pages answer."""

from __future__ import annotations

from datetime import timedelta
from io import BytesIO

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone
from openpyxl import load_workbook

from console import visibility
from console.jobs.models import State
from console.visibility import Scope
from inventory.models import Image, Tag
from registries.models import Registry
from scanning import tasks
from scanning.exposure import affected_images, recount
from scanning.exposure import tables as exposure_tables
from scanning.findings.taxonomy import risk_kinds
from scanning.models import (
    ExposureRecount,
    ImagePackage,
    Package,
    PackageExposure,
    PackageVariant,
    PackageVulnerability,
    Vulnerability,
    VulnerabilityExposure,
)
from scanning.models.packages import SeverityRank
from tests import factories
from tests.people import person

pytestmark = pytest.mark.django_db
LOG4SHELL = "CVE-2021-44228"


@pytest.fixture
def operator(client: Client) -> Client:
    client.force_login(person("operator"), backend="django.contrib.auth.backends.ModelBackend")
    return client


@pytest.fixture
def fleet() -> list[Image]:
    """Log4Shell in two of three images: one with three tags in two registries, one with two versions of the package."""
    here, there = factories.registry(name="here"), factories.registry(name="there")
    images = [factories.image(**factories.scanned(critical=1)) for _n in range(3)]
    for name, registry in (("1.0", here), ("1.1", here), ("latest", there)):
        factories.tag(name, of=images[0], in_=registry, path="shop/cart")
    factories.tag("2.0", of=images[1], in_=here, path="shop/search")
    factories.tag("3.0", of=images[2], in_=there, path="shop/front")
    for image, version, fixed in ((images[0], "2.14.1", "2.15.0"), (images[1], "2.11.1", "2.15.0")):
        factories.vulnerability(
            image,
            package="org.apache.logging.log4j:log4j-core",
            name=LOG4SHELL,
            type="maven",
            version=version,
            severity=SeverityRank.CRITICAL,
            fixed_version=fixed,
            title="Remote code execution by lookups",
        )
    held = PackageVariant.objects.get(package__version="2.14.1")
    ImagePackage.objects.create(image=images[1], variant=held, path="app/other.jar")
    factories.vulnerability(images[2], package="libexpat1", name="CVE-2024-45490", fixed_version="")
    recount.recount()
    return images


def shown(client: Client, view: str = "scanning:vulnerability-list", **query: object) -> list[str]:
    page = client.get(reverse(view), query).context["page"]
    return sorted(row.name for row in page.rows)


def test_an_image_counts_once_however_many_of_its_packages_have_it_and_each_of_its_tags_counts(
    fleet: list[Image],
) -> None:
    found = Vulnerability.objects.get(name=LOG4SHELL)
    assert (found.images, found.tags, found.highest, found.fixable) == (2, 4, SeverityRank.CRITICAL, True)
    assert found.package_names == "org.apache.logging.log4j:log4j-core"
    assert found.fixed_versions == "org.apache.logging.log4j:log4j-core 2.15.0"
    by_registry = VulnerabilityExposure.objects.filter(vulnerability=found).order_by("registry__name")
    assert list(by_registry.values_list("registry__name", "images", "tags")) == [("here", 2, 3), ("there", 1, 1)]
    package = Package.objects.get(version="2.14.1")
    assert (package.images, package.tags, package.findings, package.highest) == (2, 4, 1, SeverityRank.CRITICAL)


def test_a_second_count_of_the_same_changes_nothing(fleet: list[Image]) -> None:
    assert recount.recount() == (3, 0)


def test_what_goes_is_counted_no_more(fleet: list[Image]) -> None:
    Tag.objects.filter(repository__registry__name="there").delete()
    PackageVulnerability.objects.filter(package__version="2.11.1").delete()
    recount.recount()
    found = Vulnerability.objects.get(name=LOG4SHELL)
    assert (found.images, found.tags) == (2, 3)
    assert not VulnerabilityExposure.objects.filter(registry__name="there").exists()
    assert not PackageExposure.objects.filter(registry__name="there").exists()
    expat = Vulnerability.objects.get(name="CVE-2024-45490")
    assert (expat.images, expat.package_names, expat.fixable) == (0, "", False)


def test_a_count_is_due_after_each_change_and_once_only() -> None:
    recount.tick()
    assert not ExposureRecount.objects.exists()  # nothing was ever scanned or synced
    factories.tag(of=factories.image(**factories.scanned(critical=1)))
    recount.tick()
    recount.tick()
    job = ExposureRecount.objects.get()
    assert job.not_before is None
    tasks.recount(job.pk)
    job.refresh_from_db()
    assert (job.state, job.images) == (State.SUCCEEDED, 1)
    assert recount.counted_at() == job.started_at
    recount.tick()
    assert ExposureRecount.objects.count() == 1
    Image.objects.update(last_scanned_at=timezone.now() + timedelta(seconds=1))
    recount.tick()
    again = ExposureRecount.objects.get(state=State.QUEUED)
    assert again.not_before is not None
    assert job.ended_at is not None
    assert again.not_before >= job.ended_at + recount.MIN_RECOUNT_PAUSE


def test_the_last_twenty_counts_stay_on_record() -> None:
    for _n in range(25):
        ExposureRecount.objects.create(state=State.SUCCEEDED)
    job = ExposureRecount.objects.create()
    tasks.recount(job.pk)
    kept = ExposureRecount.objects.order_by("-pk").values_list("pk", flat=True)
    assert (kept[0], len(kept)) == (job.pk, recount.MAX_KEPT_RECOUNTS)


def test_a_count_that_takes_long_is_followed_by_a_long_pause() -> None:
    ended = timezone.now()
    last = ExposureRecount(started_at=ended - timedelta(seconds=30), ended_at=ended)
    assert recount._earliest(last) == ended + timedelta(minutes=10)


@pytest.mark.parametrize(
    "word", ["CVE-2021-44228", "44228", "cve-2021", "log4j", "LOG4J-core", "lookups", "apache log4j"]
)
def test_any_part_of_an_id_name_or_package_finds_it(operator: Client, fleet: list[Image], word: str) -> None:
    assert shown(operator, q=word) == [LOG4SHELL]


def test_filters_combine(operator: Client, fleet: list[Image]) -> None:
    here = Registry.objects.get(name="here").pk
    assert shown(operator, registry=here) == [LOG4SHELL]
    assert shown(operator, fixable="no") == ["CVE-2024-45490"]
    assert shown(operator, severity="critical", type="maven", seen="7") == [LOG4SHELL]
    assert shown(operator, type="deb", registry=here) == []
    Vulnerability.objects.filter(name=LOG4SHELL).update(first_seen=timezone.now() - timedelta(days=20))
    assert shown(operator, seen="7") == ["CVE-2024-45490"]
    assert len(shown(operator, seen="30")) == 2


def test_of_several_times_since_the_first_sight_the_longest_counts(operator: Client, fleet: list[Image]) -> None:
    Vulnerability.objects.filter(name=LOG4SHELL).update(first_seen=timezone.now() - timedelta(days=20))
    assert shown(operator, seen=["1"]) == ["CVE-2024-45490"]
    assert shown(operator, seen=["1", "30"]) == [LOG4SHELL, "CVE-2024-45490"]


def test_packages_are_found_vulnerable_or_not(operator: Client, fleet: list[Image]) -> None:
    plain = factories.variant("pkg:maven/log4j-api@2.20", type="maven", name="log4j-api", version="2.20")
    ImagePackage.objects.create(image=fleet[2], variant=plain)
    recount.recount()
    view = "scanning:package-list"
    assert shown(operator, view, q="log4j") == ["log4j-api", *["org.apache.logging.log4j:log4j-core"] * 2]
    assert shown(operator, view, q="log4j", risk="no") == ["log4j-api"]


def test_behind_a_vulnerability_stand_its_packages_and_the_images_that_hold_them(
    operator: Client, fleet: list[Image]
) -> None:
    answer = operator.get(reverse("scanning:vulnerability", args=[LOG4SHELL]))
    page = answer.context["page"]
    assert [str(row) for row in page.rows] == [
        str(tag) for tag in Tag.objects.filter(image__in=fleet[:2]).order_by("address", "name")
    ]
    text = answer.content.decode()
    assert "2.11.1" in text
    assert "2.15.0" in text
    narrowed = operator.get(reverse("scanning:vulnerability", args=[LOG4SHELL]), {"q": "search"}).context["page"]
    assert [row.name for row in narrowed.rows] == ["2.0"]
    assert operator.get(reverse("scanning:vulnerability", args=["CVE-1999-0001"])).status_code == 404


@pytest.mark.parametrize("way", ["few", "some", "many"])
def test_the_images_behind_are_the_same_however_they_are_asked_for(
    operator: Client, fleet: list[Image], way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(affected_images, "FEW_IMAGES", 500 if way == "few" else 0)
    monkeypatch.setattr(affected_images, "TAGS_PER_IMAGE_LOOKUP", 1000 if way == "many" else 0)
    Image.objects.filter(pk=fleet[1].pk).update(scan_state="failed")
    url = reverse("scanning:vulnerability", args=[LOG4SHELL])
    for query, names in (
        ({}, ["1.0", "1.1", "2.0", "latest"]),
        ({"sort": "-version"}, ["latest", "2.0", "1.1", "1.0"]),
        ({"sort": "-registry"}, ["latest", "2.0", "1.1", "1.0"]),
        ({"status": "failed"}, ["2.0"]),
        ({"q": "cart", "security": "at-risk"}, ["1.0", "1.1", "latest"]),
        ({"coverage": "new"}, []),
    ):
        with CaptureQueriesContext(connection) as queries:
            page = operator.get(url, query).context["page"]
        assert ([tag.name for tag in page.rows], page.total.number, page.of.number) == (names, len(names), 4), query
        assert any("CASE WHEN" in asked["sql"] and "imagepackage" in asked["sql"] for asked in queries) == (
            way == "many"
        )
    with visibility.set_to(Scope(frozenset({Registry.objects.get(name="here").pk}))):
        assert {tag.name for tag in affected_images.AFFECTED_IMAGES.within_rows(Vulnerability.objects.get().pk)} == {
            *("1.0", "1.1", "2.0")
        }


def test_behind_a_package_stand_the_images_that_hold_this_version(operator: Client, fleet: list[Image]) -> None:
    pk = Package.objects.get(version="2.11.1").pk
    page = operator.get(reverse("scanning:package", args=[pk])).context["page"]
    assert [row.name for row in page.rows] == ["2.0"]


def test_the_workbook_holds_what_the_page_shows(operator: Client, fleet: list[Image]) -> None:
    answer = operator.post(reverse("scanning:vulnerability-export"), {"all": "1", "view": "?q=log4j"})
    rows = list(load_workbook(BytesIO(answer.content)).worksheets[0].iter_rows(values_only=True))
    assert rows[0][:3] == ("Vulnerability", "Severity", "CVSS")
    assert rows[1][:3] == (LOG4SHELL, "Critical", 9.8)
    pk = Vulnerability.objects.get(name=LOG4SHELL).pk
    answer = operator.post(reverse("scanning:vulnerability-images", args=[pk]), {"all": "1", "view": ""})
    rows = list(load_workbook(BytesIO(answer.content)).worksheets[0].iter_rows(values_only=True))
    assert len(rows) == 5
    assert sum("log4j-core 2.11.1" in str(row) for row in rows) == 1


def test_chosen_images_of_a_vulnerability_are_exported_with_the_columns_chosen_for_them(
    operator: Client, fleet: list[Image]
) -> None:
    found = Vulnerability.objects.get(name=LOG4SHELL)
    page, columns = (
        reverse("scanning:vulnerability", args=[LOG4SHELL]),
        reverse("scanning:affected-columns", args=[found.pk]),
    )
    html = operator.get(page).content.decode()
    assert f'href="{columns}?"' in html
    answer = operator.post(f"{columns}?q=shop", {"box": ["digest", "held"], "shown": ["digest", "held"], "save": "1"})
    assert answer.headers["Location"] == f"{page}?q=shop"
    chosen = list(Tag.objects.filter(name__in=["1.1", "2.0"]).order_by("address"))
    asked = {"ids": [tag.pk for tag in chosen], "view": "?"}
    file = operator.post(reverse("scanning:vulnerability-images", args=[found.pk]), asked)
    rows = list(load_workbook(BytesIO(file.content)).worksheets[0].iter_rows(values_only=True))
    assert rows[0] == ("Image repository address", "Digest", "Installed")
    assert [row[:2] for row in rows[1:]] == [(tag.address, tag.digest) for tag in chosen]
    every = {"box": [column.name for column in affected_images.AFFECTED_IMAGES.columns], "save": "1"}
    for column_page, shown in (
        (columns, page),
        (
            reverse("scanning:holder-columns", args=[(package := found.matches.all()[0].package).pk]),
            reverse("scanning:package", args=[package.pk]),
        ),
    ):
        assert operator.post(column_page, every).headers["Location"] == shown
        assert operator.get(shown).content.decode().count('<th scope="col"') >= len(
            affected_images.AFFECTED_IMAGES.columns
        )


def test_viewers_see_and_do_not_export(client: Client, fleet: list[Image]) -> None:
    client.force_login(person("viewer"), backend="django.contrib.auth.backends.ModelBackend")
    assert shown(client, q="log4j") == [LOG4SHELL]
    assert client.post(reverse("scanning:vulnerability-export"), {"all": "1"}).status_code == 403


def test_without_findings_the_page_says_what_to_do(operator: Client) -> None:
    text = operator.get(reverse("scanning:vulnerability-list")).content.decode()
    assert "Vulnerabilities found in any image are listed here" in text
    assert "Not counted yet" in text


def test_kinds_of_risk_are_told_by_weaknesses_and_vector() -> None:
    open_door = "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H"
    assert risk_kinds(cwes=["CWE-502", "CWE-400"], vector=open_door) == [
        "From the network",
        "Code execution",
        "Denial of service",
    ]
    assert risk_kinds(cwes=["CWE-787", "NVD-CWE-noinfo", "CWE-416"], vector="") == ["Memory corruption"]


def test_an_image_with_many_packages_does_not_push_out_the_names_of_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each package that an image makes up from a vulnerable source is one that has the vulnerability."""
    monkeypatch.setattr(recount, "MAX_PACKAGE_NAMES", 3)
    monkeypatch.setattr(recount, "MAX_FIXED_VERSIONS", 2)
    honest = [factories.image() for _n in range(2)]
    forged = factories.image()
    for image in (*honest, forged):
        factories.tag(of=image)
    for image in honest:
        if image is honest[0]:
            factories.vulnerability(image, package="zlib", name="CVE-2026-1", fixed_version="2")
        else:
            ImagePackage.objects.create(image=image, variant=PackageVariant.objects.get(package__name="zlib"))
    for number in range(8):
        factories.vulnerability(forged, package=f"aaa-{number}", name="CVE-2026-1", fixed_version="1")
    recount.recount()
    found = Vulnerability.objects.get(name="CVE-2026-1")
    assert found.package_names.splitlines() == ["aaa-0", "aaa-1", "zlib"]
    assert found.fixed_versions.splitlines() == ["aaa-0 1", "zlib 2"]
    reached = VulnerabilityExposure.objects.filter(vulnerability=found).values_list("package_names", flat=True)
    assert sorted(names.splitlines() for names in reached) == [["aaa-0", "aaa-1", "aaa-2"], ["zlib"], ["zlib"]]


def test_variants_of_one_package_are_one_row_with_the_vulnerabilities_of_all(operator: Client) -> None:
    here = factories.registry()
    images = [factories.image(**factories.scanned(high=1)) for _n in range(3)]
    for image in images:
        factories.tag(of=image, in_=here)
    named = {"type": "deb", "name": "openssl", "version": "3"}
    one, other = (factories.variant("pkg:deb/debian/openssl@3", system=system, **named) for system in ("a", "b"))
    assert one.package == other.package
    for image, variant in ((images[0], one), (images[1], one), (images[2], other), (images[1], other)):
        ImagePackage.objects.create(image=image, variant=variant, path=f"of {variant.pk}")
    flaws = [Vulnerability.objects.create(name=f"CVE-2026-{number}") for number in range(2)]
    for variant, flaw, severity in ((one, flaws[0], 3), (other, flaws[0], 4), (other, flaws[1], 2)):
        PackageVulnerability.objects.create(variant=variant, vulnerability=flaw, severity=severity)
    recount.recount()
    package = Package.objects.get()
    assert (package.images, package.tags, package.findings, package.highest, package.varied) == (3, 3, 2, 4, True)
    assert list(Vulnerability.objects.order_by("name").values_list("images", "highest")) == [(3, 4), (2, 2)]
    page = operator.get(reverse("scanning:package", args=[package.pk]))
    assert [(match.vulnerability.name, match.severity) for match in page.context["matches"]] == [
        ("CVE-2026-0", 4),
        ("CVE-2026-1", 2),
    ]
    for name, images_told in (("CVE-2026-0", ">3<"), ("CVE-2026-1", "some of 3")):
        page = operator.get(reverse("scanning:vulnerability", args=[name]))
        assert [match.package.name for match in page.context["matches"]] == ["openssl"]
        assert images_told in page.content.decode()
    affected = operator.get(reverse("scanning:vulnerability", args=["CVE-2026-1"])).context["page"]
    assert {row.image_id for row in affected.rows} == {images[1].pk, images[2].pk}
    with visibility.set_to(Scope(registries=frozenset([here.pk]))):
        (row,) = exposure_tables.PACKAGES.queryset()
        assert (row.seen_findings, row.seen_highest) == (2, 4)
    with visibility.set_to(Scope(registries=frozenset())):
        assert not PackageVulnerability.objects.exists()
    assert recount.recount() == (3, 0)
