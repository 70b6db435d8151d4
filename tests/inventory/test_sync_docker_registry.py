"""The same against Debian's docker-registry, with htpasswd and a certificate of its own, filled by skopeo."""

from __future__ import annotations

import contextlib
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from console.jobs.models import State
from inventory import tasks
from inventory.models import Image, Tag
from registries.doctor import Result, Stage, diagnose
from registries.models import Registry, SyncRun
from registries.start_sync import start_sync
from tests.fakes import images
from tests.fakes.certificates import Authority
from tests.fakes.registry import FakeRegistry

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(
        not (shutil.which("docker-registry") and shutil.which("skopeo")),
        reason="needs the Debian packages docker-registry and skopeo",
    ),
]

HTPASSWD = "reader:$2b$04$VsSDhmUyzM9hyl895amX4uBOwQ8rPSWvb8yGWHNoiWnsz/ZJjHaaS\n"  # bcrypt of "secret"
CONFIG = """version: 0.1
log: {{level: error}}
storage: {{filesystem: {{rootdirectory: {folder}/data}}, delete: {{enabled: true}}}}
http: {{addr: "127.0.0.1:{port}", tls: {{certificate: {certificate}, key: {key}}}}}
auth: {{htpasswd: {{realm: test, path: {folder}/htpasswd}}}}
"""


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority()


@pytest.fixture
def docker_registry(authority: Authority, tmp_path: Path) -> Iterator[str]:
    """The address (host:port) of a docker-registry of this test's own."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    certificate, key = authority.issue("127.0.0.1").write(tmp_path)
    (tmp_path / "htpasswd").write_text(HTPASSWD)
    config = tmp_path / "config.yml"
    config.write_text(CONFIG.format(folder=tmp_path, port=port, certificate=certificate, key=key))
    process = subprocess.Popen(["docker-registry", "serve", str(config)], stderr=subprocess.DEVNULL)
    try:
        end = time.monotonic() + 20
        while time.monotonic() < end and process.poll() is None:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
                break
            time.sleep(0.05)
        yield f"127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(timeout=10)


def copy(source: FakeRegistry, name: str, target: str, *options: str) -> None:
    skopeo = ["skopeo", "copy", "--quiet", "--insecure-policy", "--src-tls-verify=false", "--dest-tls-verify=false"]
    addresses = [f"docker://{source.host}/{name}", f"docker://{target}/{name}"]
    subprocess.run([*skopeo, "--dest-creds", "reader:secret", *options, *addresses], check=True, timeout=60)


def sync(registry: Registry) -> SyncRun:
    (run,) = start_sync(registries=[registry]).runs
    tasks.sync(run.pk)
    run.refresh_from_db()
    registry.refresh_from_db()
    return run


def test_a_private_docker_registry_is_synced(docker_registry: str, authority: Authority) -> None:
    amd, arm = images.image({"a": b"amd"}), images.image({"a": b"arm"}, architecture="arm64")
    old = images.image({"b": b"docker"})
    with FakeRegistry() as source:
        amd.put(source, "team/app", "1.0")
        old.put(source, "team/app", "old")
        images.index(amd, arm).put(source, "deep/er/name", "multi")
        copy(source, "team/app:1.0", docker_registry)
        copy(source, "team/app:old", docker_registry, "--format", "v2s2")
        copy(source, "deep/er/name:multi", docker_registry, "--all")
    registry = Registry(name="docker", address=f"https://{docker_registry}", username="reader", ca_bundle=authority.pem)
    registry.set_password("secret")
    registry.save()

    run = sync(registry)
    assert (run.state, run.complete, run.reason) == (State.SUCCEEDED, True, "")
    assert (run.repositories, run.tags, run.tags_new) == (2, 3, 3)
    found = {
        str(tag).removeprefix(f"{docker_registry}/"): tag for tag in Tag.objects.select_related("image", "manifest")
    }
    assert set(found) == {"team/app:1.0", "team/app:old", "deep/er/name:multi"}
    assert str(found["team/app:1.0"].image) == str(found["deep/er/name:multi"].image) == amd.image_id
    assert found["team/app:old"].manifest.media_type == images.DOCKER_MANIFEST
    assert Image.objects.filter(config_known=True).count() == 2
    assert {step.result for step in diagnose(registry)} == {Result.PASSED}

    subprocess.run(
        [
            "skopeo",
            "delete",
            "--tls-verify=false",
            "--creds",
            "reader:secret",
            f"docker://{docker_registry}/team/app:old",
        ],
        check=True,
        timeout=60,
    )
    run = sync(registry)
    assert (run.complete, run.tags_gone, run.tags) == (True, 1, 2)

    registry.set_password("wrong")
    registry.save()
    run = sync(registry)
    assert (run.state, registry.connection, Tag.objects.count()) == (State.FAILED, Registry.Connection.REFUSED, 2)


def test_its_certificate_is_refused_unless_it_is_given_or_not_validated(docker_registry: str) -> None:
    registry = Registry(name="docker", address=f"https://{docker_registry}", username="reader")
    registry.set_password("secret")
    registry.save()
    assert diagnose(registry)[-1].stage is Stage.TLS
    registry.verify_tls = False
    assert all(step.result is not Result.FAILED for step in diagnose(registry))
