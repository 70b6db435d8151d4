"""Every page of the console: it answers, and takes no more queries for many rows than for few."""

from __future__ import annotations

from datetime import time
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from demo.inventory.make import make
from inventory.models import Image
from scanning.models import ScanSchedule, Vulnerability
from scanning.runs.scan_now import scan_now
from tests import factories
from tests.pages import addresses
from tests.people import person

pytestmark = pytest.mark.django_db
LARGEST = 300_000  # bytes of a page


def test_every_page_takes_as_many_queries_with_many_rows_as_with_few(client: Client) -> None:
    client.force_login(person("administrator", is_staff=True), backend="django.contrib.auth.backends.ModelBackend")
    ScanSchedule.objects.create(name="Nightly", at=time(1), starts_on=timezone.localdate(), categories=["malware"])
    taken: list[dict[str, int]] = []
    for seed, tags in ((1, 6), (2, 600)):
        make(tags=tags, images=tags // 2, seed=seed, now=timezone.now())
        worst = Image.objects.filter(scan_state="scanned").latest("critical")  # the one whose tabs are opened
        factories.malware(worst)
        factories.secret(worst)
        scan_now(tag_ids=[worst.tags.earliest("pk").pk], requested_by=None)  # a run that goes on, each time
        taken.append(dict(queries(client)))
    few, many = taken
    assert len(few) > 30
    assert {name: (few[name], many[name]) for name in few if many.get(name, 0) > few[name]} == {}


def test_the_longest_pages_of_what_is_found_in_an_image_stay_small(client: Client) -> None:
    client.force_login(person("administrator"), backend="django.contrib.auth.backends.ModelBackend")
    image = factories.image(**factories.scanned(critical=60))
    tag = factories.tag(of=image)
    for n in range(60):
        held = factories.vulnerability(image, name=f"CVE-2024-{n:05}", package=f"linux-image-{n}")
        Vulnerability.objects.filter(pk=held.vulnerability_id).update(
            title="kernel: use after free in a driver that few know " * 2,
            description="In the Linux kernel, the following vulnerability has been resolved: " + "it was so. " * 700,
            references=[f"https://git.example.org/stable/c/{n:04}{at:036}" for at in range(60)],
            cwes=["CWE-416", "CWE-787"],
            cvss_vector="CVSS:3.1/AV:L/AC:L/PR:L/UI:N/S:U/C:H/I:H/A:H",
        )
    answer = client.get(f"/scans/images/{tag.pk}/vulnerabilities/?size=40")
    assert answer.content.count(b'<details class="finding"') == 40
    assert 100_000 < len(answer.content) < LARGEST


def test_a_page_of_a_hundred_images_stays_small(client: Client) -> None:
    client.force_login(person("administrator"), backend="django.contrib.auth.backends.ModelBackend")
    registry = factories.registry(address="https://123456789012.dkr.ecr.eu-central-1.amazonaws.com")
    for n in range(100):
        found = factories.scanned(critical=n, high=1200, medium=3400, low=80, unknown=1)
        factories.tag(f"1.0.{n}", of=factories.image(**found), path=f"payments/ledger/service-{n}", in_=registry)
    answer = client.get("/images/?size=100")
    assert answer.content.count(b"data-row") == 100
    assert 100_000 < len(answer.content) < LARGEST


def queries(client: Client) -> Any:
    for name, path in addresses():
        if name in {"console:sign-out", "console:sso", "console:sso-callback"}:  # they leave the console
            continue
        client.get(path)
        with CaptureQueriesContext(connection) as seen:
            answer = client.get(path)
        if answer.status_code == 200:
            assert len(answer.content) < LARGEST, name
            # That somebody is still there is written now and then, which has nothing to do with the page.
            yield name, sum(query["sql"].startswith("SELECT") for query in seen)
        else:
            assert answer.status_code in {302, 405, 400}, (name, answer.status_code)
