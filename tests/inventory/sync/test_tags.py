"""What a sync writes of the tags that it has seen."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from inventory.models import Tag
from inventory.sync.tags import ObservedTag, SyncStats, record_tags
from tests import factories

pytestmark = pytest.mark.django_db


def observe(tag: Tag, *, pointing_to: Tag) -> None:
    """Write that ``tag`` was seen, with nothing said of when it was pushed."""
    seen = ObservedTag(
        repository_id=tag.repository_id,
        address=tag.address,
        repository=tag.repository.name,
        name=tag.name,
        digest=pointing_to.digest,
    )
    manifests = {pointing_to.digest: pointing_to.manifest}
    record_tags([seen], registry_id=tag.registry_id, manifests=manifests, stats=SyncStats())
    tag.refresh_from_db()


def test_a_tag_that_moves_does_not_show_when_the_image_before_was_pushed() -> None:
    registry, at = factories.registry(), timezone.now() - timedelta(days=90)
    tag, other = (factories.tag(name, in_=registry, path="app", pushed_at=at) for name in ("latest", "1.0"))
    observe(tag, pointing_to=tag)
    assert tag.pushed_at == at
    observe(tag, pointing_to=other)
    assert (tag.image, tag.pushed_at) == (other.image, None)
