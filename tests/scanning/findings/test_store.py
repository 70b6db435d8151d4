"""What a scan writes of what it found, where something was found before."""

from __future__ import annotations

from dataclasses import replace

import pytest

from scanning.engines.base import ImageReport, PackageFact
from scanning.findings.store import store_packages
from scanning.models import ImagePackage
from tests import factories

pytestmark = pytest.mark.django_db


def test_a_package_that_is_found_in_another_layer_than_before_is_shown_in_that() -> None:
    image = factories.image()
    base, above = image.image_layers.order_by("position").values_list("diff_id", flat=True)
    curl = PackageFact("pkg:deb/debian/curl@8", "deb", "curl", "8", path="var/lib/dpkg/status", diff_id=base)
    report = ImageReport("debian 12.6", False, (curl,), (), (), ())
    store_packages(image=image, report=report)
    before = ImagePackage.objects.get()
    store_packages(image=image, report=replace(report, packages=(replace(curl, diff_id=above),)))
    assert (before.diff_id, ImagePackage.objects.get().diff_id) == (base, above)
