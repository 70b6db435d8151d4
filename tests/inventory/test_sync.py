"""A sync of a real distribution server that misbehaves on command."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from console.jobs.models import State
from inventory import tasks
from inventory.models import Image, ImageLayer, Layer, Manifest, PlatformManifest, Repository, Tag
from registries.models import Registry, SyncRun
from registries.request_sync import request_syncs
from tests.fakes import images
from tests.fakes.registry import FakeRegistry, Status, catalog, manifests
from tests.fakes.registry import tags as tag_lists

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def server() -> Iterator[FakeRegistry]:
    with FakeRegistry() as server:
        yield server


@pytest.fixture
def registry(server: FakeRegistry) -> Registry:
    return Registry.objects.create(name="fake", address=server.url)


def sync(registry: Registry, **options: bool) -> SyncRun:
    (run,) = request_syncs([registry], **options)
    tasks.sync(run.pk)
    run.refresh_from_db()
    registry.refresh_from_db()
    return run


def image(text: str) -> images.Image:
    return images.image({"etc/os-release": b"ID=debian\n"}, {"app": text.encode()})


def names() -> set[str]:
    return {str(tag).split("/", 1)[1] for tag in Tag.objects.all()}


def test_what_a_registry_holds_becomes_rows(server: FakeRegistry, registry: Registry) -> None:
    made = image("one")
    made.put(server, "team/app", "1.0")
    run = sync(registry)
    assert (run.state, run.complete, run.reason) == (State.SUCCEEDED, True, "")
    assert (run.repositories, run.tags, run.tags_new, run.errors) == (1, 1, 1, 0)
    tag = Tag.objects.select_related("image", "manifest").get()
    assert tag.address == f"{registry.host}/team/app"
    assert (tag.name, tag.digest) == ("1.0", made.digest)
    assert tag.image is not None
    assert (tag.image.image_id, tag.image.platform) == (made.image_id, "linux/amd64")
    assert tag.size == len(made.config) + sum(len(layer.content) for layer in made.layers)
    assert registry.connection == Registry.Connection.CONNECTED
    assert registry.last_sync == run
