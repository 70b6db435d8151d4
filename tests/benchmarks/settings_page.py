"""How the two lists and the preview of Scanning settings do with 100,000 images.

    python -m tests.benchmarks.settings_page [--tags 100000]

Prints time, queries and growth of the peak memory of each step, from the page to a started run of all that was chosen.
Seven tags in ten have an image of their own; each image has eight layers, five of them shared. SQLite in a temporary
folder; the requests are made in this process.
"""

from __future__ import annotations

import argparse
import gc
import re
import resource
import tempfile
import time
import tracemalloc
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

from tests.benchmarks.console import Console

REPOSITORY_COUNT = 500
LAYERS_PER_IMAGE = 8
SHARED_LAYERS = 5


def main() -> None:
    """Make the images and walk through the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tags", type=int, default=100_000)
    tags = parser.parse_args().tags
    with tempfile.TemporaryDirectory(prefix="tallyman-settings-") as folder:
        Console(
            Path(folder), DJANGO_SETTINGS_MODULE="tests.settings", TALLYMAN_TEST_CHILD="1", TALLYMAN_HOSTS="testserver"
        )
        make(tags)
        walk(tags)


def make(tags: int) -> None:
    """Write ``tags`` tags of one registry, some thousands at a time."""
    from inventory.models import Image, Layer, Manifest, ManifestLayer, Repository, Tag
    from registries.models import Registry

    registry = Registry.objects.create(name="lab", address="https://lab.test", type="oci", limit=100)
    repositories = Repository.objects.bulk_create(
        Repository(registry=registry, name=f"team-{index % 20}/app-{index:03}") for index in range(REPOSITORY_COUNT)
    )
    shared = [
        Layer.objects.create(digest=_digest("base", index), diff_id=_digest("base-diff", index), size=30_000_000)
        for index in range(200)
    ]
    images = tags * 7 // 10
    for start in range(0, images, 2000):
        some = range(start, min(start + 2000, images))
        rows = Image.objects.bulk_create(Image(image_id=_digest("image", n), os="linux") for n in some)
        manifests = Manifest.objects.bulk_create(
            Manifest(
                digest=_digest("manifest", n), kind=Manifest.Kind.IMAGE, image_digest=row.image_id, size=200_000_000
            )
            for n, row in zip(some, rows, strict=True)
        )
        own = Layer.objects.bulk_create(
            Layer(digest=_digest("layer", n, position), diff_id=_digest("diff", n, position), size=10_000_000)
            for n in some
            for position in range(SHARED_LAYERS, LAYERS_PER_IMAGE)
        )
        ManifestLayer.objects.bulk_create(
            ManifestLayer(
                manifest=manifest,
                position=position,
                layer=shared[(n + position) % len(shared)]
                if position < SHARED_LAYERS
                else own[at * (LAYERS_PER_IMAGE - SHARED_LAYERS) + position - SHARED_LAYERS],
            )
            for at, (n, manifest) in enumerate(zip(some, manifests, strict=True))
            for position in range(LAYERS_PER_IMAGE)
        )
    images_of = dict(Image.objects.values_list("image_id", "pk"))
    held = [
        (pk, digest, images_of[image_digest])
        for pk, digest, image_digest in Manifest.objects.order_by("pk").values_list("pk", "digest", "image_digest")
    ]
    for start in range(0, tags, 5000):
        Tag.objects.bulk_create(
            Tag(
                repository=(repository := repositories[n % REPOSITORY_COUNT]),
                registry=registry,
                name=f"v{n // REPOSITORY_COUNT:05}",
                digest=held[n % len(held)][1],
                manifest_id=held[n % len(held)][0],
                image_id=held[n % len(held)][2],
                address=f"lab.test/{repository.name}",
                size=200_000_000,
            )
            for n in range(start, min(start + 5000, tags))
        )


def walk(tags: int) -> None:
    """Do with the page what a person does."""
    from django.test import Client
    from django.urls import reverse

    from console.models import User
    from scanning.runs import image_picker

    user = User.objects.create_user("ines", role="operator")
    client = Client(headers={"HX-Request": "true"})
    client.force_login(user, backend="django.contrib.auth.backends.ModelBackend")
    page, cost = reverse("scanning:settings"), reverse("scanning:cost")
    lists = reverse("scanning:chooser", args=[image_picker.selection_of(user, "scan").pk])
    form = {"categories": ["vulnerabilities", "sensitive", "malware"], "timeout": "30"}
    client.get(page)
    print(f"{tags:,} tags")
    for name, step in {
        "the page": lambda: client.get(page),
        "preview: recommended": lambda: client.get(cost, form | {"scope": "recommended"}),
        "preview: all": lambda: client.get(cost, form | {"scope": "all"}),
        "search, few match": lambda: client.get(lists, {"left-q": "app-123"}),
        "search, most match": lambda: client.get(lists, {"left-q": "team"}),
        "the 1,000th page": lambda: client.get(lists, {"left-page": "1000"}),
        "move 50 right": lambda: client.post(lists, {"move": "right", "ids": _shown(client.get(lists))}),
        "move all that a search finds": lambda: client.post(lists, {"move": "right", "all": "1", "left-q": "app-12"}),
        "move all": lambda: client.post(lists, {"move": "right", "all": "1"}),
        "preview: all, specified": lambda: client.get(cost, form | {"scope": "chosen"}),
        "move all back": lambda: client.post(lists, {"move": "left", "all": "1"}),
        "move all again": lambda: client.post(lists, {"move": "right", "all": "1"}),
        "Scan now": lambda: client.post(page, form | {"scope": "chosen"}),
    }.items():
        _measure(name, step)


def _measure(name: str, step: Callable[[], Any]) -> None:
    from django.db import connection
    from django.test.utils import CaptureQueriesContext

    gc.collect()
    tracemalloc.start()
    with CaptureQueriesContext(connection) as queries:
        before = time.perf_counter()
        response = step()
        took = time.perf_counter() - before
    _now, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    resident = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    size = len(response.content) // 1024
    print(
        f"{name:32} {took:7.2f} s  {len(queries):5} queries  {size:4} KiB  peak +{peak / 2**20:6.1f} MiB ({resident})"
    )
    assert response.status_code in {200, 302}


def _shown(response: Any) -> list[str]:
    return re.findall(r'name="ids" value="(\d+)"', response.content.decode())


def _digest(*words: object) -> str:
    return f"sha256:{sha256(repr(words).encode()).hexdigest()}"


if __name__ == "__main__":
    main()
