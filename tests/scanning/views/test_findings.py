"""The findings of an image: what is shown, what is known, and what comes from outside and is not trusted."""

from __future__ import annotations

import re

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from inventory.models import Tag
from scanning.models import CategoryResult
from scanning.models.packages import SeverityRank
from tests import factories
from tests.people import person

pytestmark = pytest.mark.django_db
TABS = ("vulnerabilities", "malware", "sensitive", "packages", "history")
PART = {"HX-Request": "true", "HX-Target": "findings", "HX-Trigger": "findings-q"}


@pytest.fixture
def viewer(client: Client) -> Client:
    client.force_login(person("viewer"), backend="django.contrib.auth.backends.ModelBackend")
    return client


def tab(client: Client, name: str, tag: Tag, **query: object) -> str:
    return client.get(reverse(f"scanning:{name}", args=[tag.pk]), query, headers=PART).content.decode()


def test_a_vulnerability_shows_all_that_is_known_and_where_it_came_from(viewer: Client) -> None:
    image = factories.image(**factories.scanned(critical=1))
    tag = factories.tag(of=image)
    factories.vulnerability(image, name="CVE-2024-45492", severity=SeverityRank.CRITICAL)
    text = tab(viewer, "vulnerabilities", tag)
    for part in (
        "CVE-2024-45492",
        "Whoever can hand it a document may run code in it.",
        "9.8 critical, debian",
        "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H",
        "libexpat1",
        "2.5.0-1",
        "2.5.0-1+deb12u1",
        "var/lib/dpkg/status",
        "2 of 2",
        "step 3 of 3",
        "RUN apt-get update &amp;&amp; apt-get install -y libexpat1",
        "Rebuild without the build cache",
        "CWE-190",
    ):
        assert part in text, part


def test_only_web_addresses_become_links(viewer: Client) -> None:
    image = factories.image()
    bad = ["javascript:alert(1)", "data:text/html,x", "//evil.test", "ftp://x.test", "http://[bad", "not a link"]
    factories.vulnerability(image, references=[*bad, "https://nvd.test/1"], url="javascript:alert(2)")
    text = tab(viewer, "vulnerabilities", factories.tag(of=image))
    assert text.count('rel="noopener noreferrer nofollow"') == 1
    assert 'href="https://nvd.test/1"' in text
    assert "javascript:" not in text


@pytest.mark.parametrize(
    ("values", "advice"),
    [
        ({"fixed_version": ""}, "There is no fixed version yet."),
        ({"fixed_version": "", "status": "will_not_fix"}, "will not fix it"),
        ({"fixed_version": "2.0", "type": "pypi"}, "Upgrade libexpat1 to 2.0 or later"),
    ],
)
def test_the_suggestion_fits_the_finding(viewer: Client, values: dict[str, str], advice: str) -> None:
    image = factories.image()
    factories.vulnerability(image, **values)
    assert advice in tab(viewer, "vulnerabilities", factories.tag(of=image))


def test_what_the_base_image_brought_is_fixed_by_a_newer_base(viewer: Client) -> None:
    image = factories.image(layers=1)
    factories.vulnerability(image)
    assert "Rebuild on a newer release of the base image" in tab(viewer, "vulnerabilities", factories.tag(of=image))


def test_vulnerabilities_are_filtered_searched_and_sorted_worst_first(viewer: Client) -> None:
    image = factories.image()
    tag = factories.tag(of=image)
    other = factories.image()
    factories.vulnerability(image, name="CVE-1", package="zlib", severity=SeverityRank.LOW, fixed_version="")
    factories.vulnerability(image, name="CVE-2", package="openssl", severity=SeverityRank.CRITICAL)
    factories.vulnerability(image, name="CVE-3", package="curl", severity=SeverityRank.HIGH, fixed_version="")
    factories.vulnerability(other, name="CVE-9", package="bash")

    def found(**query: object) -> list[str]:
        return re.findall(r'class="id">(CVE-\d)<', tab(viewer, "vulnerabilities", tag, **query))

    assert found() == ["CVE-2", "CVE-3", "CVE-1"]
    assert found(severity=["high", "low"]) == ["CVE-3", "CVE-1"]
    assert found(fixable="yes") == ["CVE-2"]
    assert found(q="openssl") == ["CVE-2"]
    assert found(q="cve-3") == ["CVE-3"]
    assert found(q="nothing") == []
    assert found(sort="name") == ["CVE-1", "CVE-2", "CVE-3"]


def test_a_package_at_several_places_is_one_finding(viewer: Client) -> None:
    image = factories.image()
    first = factories.vulnerability(image, name="CVE-1", type="npm", path="a/package.json")
    factories.ImagePackage.objects.create(image=image, variant=first.variant, path="b/package.json")
    text = tab(viewer, "vulnerabilities", factories.tag(of=image))
    assert text.count("<details") == 1
    assert "a/package.json" in text
    assert "b/package.json" in text


def test_malware_sensitive_data_and_packages_show_their_facts(viewer: Client) -> None:
    image = factories.image(**factories.scanned(viruses=1, sensitive=1, packages=1))
    tag = factories.tag(of=image)
    virus, secret = factories.malware(image), factories.secret(image)
    factories.vulnerability(image)
    text = tab(viewer, "malware", tag)
    for part in (virus.path, virus.sha256, "EICAR_Test_File", "yara", "68 B", "2 of 2", "Do not run this image"):
        assert part in text
    text = tab(viewer, "sensitive", tag, category="AWS")
    for part in (secret.path, "AKIA**************EX", "line 3", "AWS Access Key ID", "revoke it"):
        assert part in text
    assert secret.path not in tab(viewer, "sensitive", tag, q="nothing")
    text = tab(viewer, "packages", tag)
    for part in ("libexpat1", "2.5.0-1", "pkg:deb/debian/libexpat1@2.5.0-1"):
        assert part in text


def test_packages_are_filtered_by_type_and_by_whether_they_have_vulnerabilities(viewer: Client) -> None:
    image = factories.image()
    tag = factories.tag(of=image)
    factories.vulnerability(image, package="zlib")
    factories.vulnerability(image, package="requests", type="pypi")
    factories.vulnerability(image, package="curl").delete()

    def found(**query: object) -> list[str]:
        return re.findall(r"<b[^>]*>(zlib|requests|curl)</b>", tab(viewer, "packages", tag, **query))

    assert found() == ["curl", "requests", "zlib"]
    assert found(type="deb") == ["curl", "zlib"]
    assert found(risk="yes") == ["requests", "zlib"]
    assert found(risk="no", type="deb") == ["curl"]


def test_the_build_history_tells_a_layer_without_findings_from_one_that_nobody_looked_at(viewer: Client) -> None:
    for values, told in (({}, 0), (factories.scanned(critical=1), 1)):
        image = factories.image(layers=2, **values)
        tag = factories.tag(of=image)
        if values:
            factories.vulnerability(image)
        assert tab(viewer, "history", tag).count("0 found") == told


def test_the_build_history_shows_what_each_step_brought(viewer: Client) -> None:
    image = factories.image(layers=3)
    factories.malware(image, diff_id=image.image_layers.all()[1].diff_id)
    factories.vulnerability(image, severity=SeverityRank.CRITICAL)
    text = tab(viewer, "history", factories.tag(of=image))
    assert text.index("ADD file:abc in /") < text.index("CMD [") < text.index("RUN apt-get update")
    assert "viruses and trojans" in text
    assert "No layer" in text
    assert "A layer without a step in the build history" in text


@pytest.mark.parametrize(
    ("outcome", "says"),
    [
        (CategoryResult.Outcome.DONE, "0 found"),
        (CategoryResult.Outcome.FAILED, "The rules could not be read. <br>Check the folder."),
        (CategoryResult.Outcome.PARTIAL, "Partly scanned"),
        (CategoryResult.Outcome.UNSUPPORTED, "cannot be scanned for this"),
        (None, "Category not scanned"),
    ],
)
def test_nothing_found_is_not_the_same_as_not_looked_for(viewer: Client, outcome: str | None, says: str) -> None:
    image = factories.image(**factories.scanned())
    if outcome:
        factories.result(image, "malware", outcome, reason="The rules could not be read.", remedy="Check the folder.")
    text = tab(viewer, "malware", factories.tag(of=image))
    assert says in text
    assert ("0 found" in text) is (outcome == CategoryResult.Outcome.DONE)
    assert ("#shield" in text) is (outcome == CategoryResult.Outcome.DONE)


@pytest.mark.parametrize("outcome", [CategoryResult.Outcome.FAILED, CategoryResult.Outcome.UNSUPPORTED])
def test_an_earlier_zero_is_dated_and_no_proof_after_a_scan_that_failed(viewer: Client, outcome: str) -> None:
    image = factories.image(**factories.scanned())
    factories.result(image, "malware", outcome, reason="The rules could not be read.", looked_at=timezone.now())
    text = tab(viewer, "malware", factories.tag(of=image))
    assert "0 found" not in text
    assert "#shield" not in text
    assert "<time" in text


def test_a_fall_to_zero_that_nothing_explains_is_no_zero(viewer: Client) -> None:
    image = factories.image(**factories.scanned())
    factories.result(image, "malware", CategoryResult.Outcome.DONE, regressed_from=3)
    text = tab(viewer, "malware", factories.tag(of=image))
    assert "0 found" not in text
    assert "#shield" not in text


def test_before_the_first_scan_and_during_it_nothing_is_claimed(viewer: Client) -> None:
    for state, says in (("not-scanned", "Scan the image to find out."), ("running", "Not known yet")):
        text = tab(viewer, "vulnerabilities", factories.tag(of=factories.image(scan_state=state)))
        assert says in text
        assert "0 found" not in text


def test_the_address_says_which_tab_is_open_and_how_it_is_filtered(viewer: Client) -> None:
    image = factories.image()
    tag = factories.tag(of=image)
    factories.secret(image)
    url = reverse("scanning:sensitive", args=[tag.pk])
    response = viewer.get(url, {"q": "aws", "severity": "critical"}, headers=PART)
    assert (
        response["HX-Replace-Url"]
        == f"{reverse('inventory:image', args=[tag.pk])}?tab=sensitive&q=aws&severity=critical"
    )
    first = viewer.get(url, headers=PART | {"HX-Trigger": "findings"})
    assert "HX-Replace-Url" not in first, "the load of the drawer must not change the address"
    assert "<html" in viewer.get(url).content.decode(), "without htmx the tab is a page"


@pytest.mark.parametrize("name", TABS)
def test_tabs_have_a_constant_number_of_queries(viewer: Client, name: str) -> None:
    counts = []
    for number in (2, 30):
        image = factories.image()
        tag = factories.tag(of=image)
        for index in range(number):
            factories.vulnerability(image, package=f"lib{number}-{index}")
            factories.malware(image)
            factories.secret(image)
        with CaptureQueriesContext(connection) as queries:
            tab(viewer, name, tag, size=100)
        counts.append(len(queries))
    assert counts[0] == counts[1]


@pytest.mark.parametrize("name", TABS)
def test_hostile_text_in_findings_stays_text(viewer: Client, name: str) -> None:
    nasty = '"><img src=x onerror=alert(1)>'
    image = factories.image(history=[{"created_by": nasty}, "no step", {"created_by": 7}])
    factories.vulnerability(
        image, package=nasty, name=nasty, title=nasty, description=nasty, fixed_version=nasty, path=nasty
    )
    factories.malware(image, rule=nasty, path=nasty, description=nasty, family=nasty)
    factories.secret(image, title=nasty, path=nasty, masked=nasty, category=nasty)
    text = tab(viewer, name, factories.tag(of=image))
    assert "<img" not in text
    assert "&lt;img" in text


def test_a_tab_of_an_image_that_is_gone_is_not_found(viewer: Client) -> None:
    assert viewer.get(reverse("scanning:packages", args=[10**6])).status_code == 404
