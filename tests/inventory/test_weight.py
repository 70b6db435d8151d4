"""A page of 100 images with all columns is no larger than 300 kB, also where much is to be told of all of them."""

from __future__ import annotations

import re
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from demo.inventory.make import make
from inventory.models import Image
from inventory.tables import IMAGES, RISK_FIELDS
from tests.people import person

pytestmark = pytest.mark.django_db
BYTES = 300_000
FAILED = {
    "scan_state": Image.ScanState.FAILED,
    "scan_reason": "The registry answered 429 Too Many Requests for the third layer, and did so again after a minute.",
    "scan_remedy": "Set an hourly limit for this registry, or scan again later.",
    **dict.fromkeys((*RISK_FIELDS, "highest"), None),
}
EARLIER = (
    FAILED | dict.fromkeys(RISK_FIELDS, 1234) | {"highest": Image.Severity.CRITICAL}
)  # and what was found before it
AT_RISK = dict.fromkeys(RISK_FIELDS, 1234) | {"highest": Image.Severity.CRITICAL}


@pytest.mark.parametrize("state", [{}, AT_RISK, FAILED, EARLIER])
def test_a_page_of_100_images_with_all_columns_weighs_less_than_300_kb(client: Client, state: dict[str, Any]) -> None:
    make(tags=400, images=200, seed=1, now=timezone.now())
    Image.objects.update(**state)
    user = person("administrator", columns={"images": [column.name for column in IMAGES.columns]})
    client.force_login(user, backend="django.contrib.auth.backends.ModelBackend")
    answer = client.get(reverse("inventory:image-list"), {"size": "100"})
    html = answer.content.decode()
    assert len(answer.context["page"].rows) == 100
    assert len(answer.context["page"].columns) == len(IMAGES.columns) == 21
    assert len(re.findall(r"data-row", html)) == 100
    icons = len(re.findall(r"/static/icons\.svg", html)) * len(".0123456789ab")  # of its name where files are served
    assert len(answer.content) + icons < BYTES, f"{len(answer.content):,} + {icons:,}"
