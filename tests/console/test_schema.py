"""A database of another version is told from one of this."""

from __future__ import annotations

import pytest
from django.db.migrations.recorder import MigrationRecorder

from console import schema

pytestmark = pytest.mark.django_db


def test_the_own_version_is_right_and_one_before_or_after_is_not() -> None:
    assert schema.what_is_wrong() == ""
    applied = MigrationRecorder.Migration.objects
    applied.create(app="gone_package", name="0009_whatever")
    assert schema.what_is_wrong() == "", "what is not ours says nothing of our version"
    newer = applied.create(app="inventory", name="0002_of_tomorrow")
    assert "newer version of Tallyman (inventory.0002_of_tomorrow)" in schema.what_is_wrong()
    newer.delete()
    applied.get(app="scanning", name="0001_initial").delete()
    assert "manage.py migrate" in schema.what_is_wrong()
