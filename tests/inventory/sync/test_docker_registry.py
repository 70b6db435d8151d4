"""The same against Debian's docker-registry, with htpasswd and a certificate of its own, filled by skopeo."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from console.jobs.models import State
from inventory import tasks
from inventory.models import Image, Tag
from registries.connection_test.diagnose import ConnectionStage, StepResult, diagnose
from registries.models import Registry, SyncRun
from registries.sync_requests.start import start_sync
from tests.fakes import images
from tests.fakes.certificates import Authority
from tests.fakes.docker_registry import PASSWORD, USER, DockerRegistry, docker_registry
from tests.fakes.registry import FakeRegistry

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority()


@pytest.fixture
def server(authority: Authority) -> Iterator[DockerRegistry]:
    with docker_registry(authority.issue("127.0.0.1")) as running:
        yield running


def private(server: DockerRegistry, **values: str) -> Registry:
    registry = Registry(name="docker", address=server.url, username=USER, **values)
    registry.set_password(PASSWORD)
    registry.save()
    return registry


def sync(registry: Registry, **options: bool) -> SyncRun:
    (run,) = start_sync(registries=[registry], **options).runs
    tasks.sync(run.pk)
    run.refresh_from_db()
    registry.refresh_from_db()
    return run


def test_a_private_docker_registry_is_synced(server: DockerRegistry, authority: Authority) -> None:
    amd, arm = images.image({"a": b"amd"}), images.image({"a": b"arm"}, architecture="arm64")
    old = images.image({"b": b"docker"})
    with FakeRegistry() as source:
        amd.put(source, "team/app", "1.0")
        old.put(source, "team/app", "old")
        images.index(amd, arm).put(source, "deep/er/name", "multi")
        for name, options in (
            ("team/app:1.0", ()),
            ("team/app:old", ("--format=v2s2",)),
            ("deep/er/name:multi", ("--all",)),
        ):
            server.copy_in(f"docker://{source.host}/{name}", name, "--src-tls-verify=false", *options)
    registry = private(server, ca_bundle=authority.pem)

    run = sync(registry)
    assert (run.state, run.complete, run.reason) == (State.SUCCEEDED, True, "")
    assert (run.repositories, run.tags, run.tags_new) == (2, 3, 3)
    found = {str(tag).removeprefix(f"{server.host}/"): tag for tag in Tag.objects.select_related("image", "manifest")}
    assert set(found) == {"team/app:1.0", "team/app:old", "deep/er/name:multi"}
    assert str(found["team/app:1.0"].image) == str(found["deep/er/name:multi"].image) == amd.image_id
    assert found["team/app:old"].manifest.media_type == images.DOCKER_MANIFEST
    assert Image.objects.filter(config_known=True).count() == 2
    assert {step.result for step in diagnose(registry)} == {StepResult.PASSED}

    server.delete("team/app:old")
    run = sync(registry)
    assert (run.complete, run.tags_missing, run.tags) == (False, 1, 3)
    run = sync(registry, confirm_missing=True)
    assert (run.complete, run.tags_gone, run.tags) == (True, 1, 2)

    registry.set_password("wrong")
    registry.save()
    run = sync(registry)
    assert (run.state, registry.connection, Tag.objects.count()) == (State.FAILED, Registry.Connection.REFUSED, 2)


def test_its_certificate_is_refused_unless_it_is_given_or_not_validated(server: DockerRegistry) -> None:
    registry = private(server)
    assert diagnose(registry)[-1].stage is ConnectionStage.TLS
    registry.verify_tls = False
    assert all(step.result is not StepResult.FAILED for step in diagnose(registry))
