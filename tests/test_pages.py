"""Every page of the console: it answers, and takes no more queries for many rows than for few."""

from __future__ import annotations

from datetime import time
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from inventory.models import Image
from scanning.models import ScanSchedule
from scanning.sample.make import make
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
        taken.append(dict(queries(client)))
    few, many = taken
    assert len(few) > 30
    assert {name: (few[name], many[name]) for name in few if many.get(name, 0) > few[name]} == {}


def queries(client: Client) -> Any:
    for name, path in addresses():
        if name in {"console:sign-out", "console:sso", "console:sso-callback"}:  # they leave the console
            continue
        client.get(path)
        with CaptureQueriesContext(connection) as seen:
            answer = client.get(path)
        if answer.status_code == 200:
            assert len(answer.content) < LARGEST, name
            yield name, len(seen)
        else:
            assert answer.status_code in {302, 405, 400}, (name, answer.status_code)
