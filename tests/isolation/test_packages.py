"""Who owns one registry and one image changes nothing of what others hold: packages, vulnerabilities, licences, texts.

Each image lies in a registry of its own; syncs, scans and rematches are those of a worker, with the real Trivy; what is
right is what ``trivy image`` says by hand.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from console.jobs.models import State
from inventory.models import Tag
from registries.models import Registry
from scanning import scanners, tasks
from scanning.engines.trivy.advisory_texts import read_vulnerabilities
from scanning.execution import pipeline
from scanning.execution.context import ScanContext
from scanning.execution.steps.store_results import store_results
from scanning.exposure import aggregate
from scanning.findings import store as findings_store
from scanning.models import CategoryResult, Package, PackageVariant, PackageVulnerability, Rematch, Vulnerability
from scanning.rematch import run as rematch_run
from scanning.vulndb import install as vulndb_install
from tests.benchmarks.orders import ScanOrders
from tests.fakes import images, systems
from tests.fakes.registry import FakeRegistry
from tests.fakes.systems import alpine, apk, debian, dpkg, rpm, rpms, ubuntu
from tests.fakes.trivy_reference import stored_findings, trivy_findings
from tests.scanning.conftest import scan, sync
from tests.test_scope_figures import limited

pytestmark = pytest.mark.django_db(transaction=True)

OPENSSL = {"Package": "libssl3", "Version": "1.0-1", "Source": "openssl"}
BUSYBOX = apk(("busybox", "busybox", "1.0-r0"))
RPMS = rpm(("openssl", "openssl", "1.0-1", 0))

# What an honest image holds, and what one holds that would speak for it: the same purls, and something else that
# matching or showing depends on.
PAIRS: dict[str, tuple[systems.Files, systems.Files]] = {
    "source of a Debian package": (
        debian(dpkg(OPENSSL)),
        debian(dpkg(OPENSSL | {"Source": "harmless (9999)"})),
    ),
    "version of the source": (debian(dpkg(OPENSSL)), debian(dpkg(OPENSSL | {"Source": "openssl (9999-1)"}))),
    "repository of Alpine": (
        alpine(BUSYBOX, repositories=("v3.22",)),
        alpine(BUSYBOX, repositories=("v3.22", "edge")),
    ),
    "no repository at all": (alpine(BUSYBOX), alpine(BUSYBOX, repositories=("edge",))),
    "origin of an Alpine package": (alpine(BUSYBOX), alpine(apk(("busybox", "harmless", "1.0-r0")))),
    "extended support of Ubuntu": (ubuntu(dpkg(OPENSSL)), ubuntu(dpkg(OPENSSL), extended=True)),
    "content sets of Red Hat": (
        rpms("redhat", RPMS),
        rpms("redhat", RPMS, content_sets=(systems.CONTENT_SETS[1],)),
    ),
    "source of an rpm package": (rpms("azurelinux", RPMS), rpms("azurelinux", rpm(("openssl", "x", "1.0-1", 0)))),
    "root.io": (
        debian(dpkg(OPENSSL)),
        debian(dpkg(OPENSSL, {"Package": "any", "Version": "1.root.io.1"})),
    ),
    "root.io on Alpine": (alpine(BUSYBOX), alpine(BUSYBOX + apk(("any", "any", "1-r10071")))),
    "Seal": (debian(dpkg(OPENSSL)), debian(dpkg(OPENSSL, {"Package": "seal-any", "Version": "1"}))),
    "RapidFort": (alpine(BUSYBOX), {**alpine(BUSYBOX), "usr/share/rapidfort/curated.json": b"{}"}),
    "licences": (
        debian(dpkg(OPENSSL), licenses={"libssl3": "Apache-2.0"}),
        debian(dpkg(OPENSSL), licenses={"libssl3": "Proprietary-Evil"}),
    ),
}


@pytest.fixture(autouse=True)
def data_folder(tmp_path: Path, settings: Any) -> Iterator[None]:
    settings.DATA_DIR = tmp_path / "data"
    scanners.trivy.cache_clear()
    scanners.layer_store.cache_clear()
    yield
    scanners.trivy.cache_clear()
    scanners.layer_store.cache_clear()


@pytest.fixture
def servers() -> Iterator[list[FakeRegistry]]:
    with FakeRegistry() as first, FakeRegistry() as second:
        yield [first, second]


def install(folder: Path, **options: Any) -> None:
    vulndb_install.install(systems.database(folder, **options))
    scanners.trivy.cache_clear()


def put(servers: Sequence[FakeRegistry], *held: systems.Files) -> tuple[list[images.Image], list[Tag]]:
    """Put an image of each of ``held`` into a registry of its own, and sync it."""
    made, tags = [], []
    for number, (server, files) in enumerate(zip(servers, held, strict=True)):
        image = images.image(files)
        image.put(server, "team/app", "1.0")
        registry = Registry.objects.create(name=f"registry-{number}", type=Registry.Type.OCI, address=server.url)
        sync(registry)
        made.append(image)
        tags.append(Tag.objects.get(registry=registry))
    return made, tags


def match_again() -> Rematch:
    """Match all stored packages with the database in use, as a worker does."""
    job = rematch_run.start_rematch()
    assert job is not None
    tasks.rematch(job.pk)
    job.refresh_from_db()
    return job


@pytest.mark.parametrize("order", [(0, 1), (1, 0)], ids=["honest first", "honest last"])
@pytest.mark.parametrize("kind", PAIRS)
def test_no_image_speaks_for_one_that_holds_another_package(
    servers: list[FakeRegistry], tmp_path: Path, kind: str, order: tuple[int, int]
) -> None:
    install(tmp_path / "old", day=1, less=True)
    made, tags = put(servers, *PAIRS[kind])

    def wrong() -> list[int]:
        return [number for number, image in enumerate(made) if stored_findings(image.image_id) != trivy_findings(image)]

    assert trivy_findings(made[0]) != trivy_findings(made[1]), "this pair tries nothing"
    for number in order:
        scan(tags[number], "vulnerabilities")
    assert wrong() == []
    for number in order:  # what is known of their layers by now is told without a run for the image
        scan(tags[number], "vulnerabilities")
    assert wrong() == []
    install(tmp_path / "new", day=2)
    job = match_again()
    assert (job.state, job.reason) == (State.SUCCEEDED, "")
    assert wrong() == []
    scan(tags[order[1]], "vulnerabilities")
    assert wrong() == []
    before = stored_findings(made[0].image_id)
    assert before[1], "the honest image has vulnerabilities"
    assert not PackageVariant.objects.filter(system=None).exists(), "scans disagreed on what has one key"


def test_what_is_the_same_is_shared(servers: list[FakeRegistry], tmp_path: Path) -> None:
    install(tmp_path / "old", day=1)
    _made, tags = put(servers, debian(dpkg(OPENSSL)), {**debian(dpkg(OPENSSL)), "another": b"file"})
    for tag in tags:
        scan(tag, "vulnerabilities")
    assert PackageVariant.objects.count() == Package.objects.count() == 1


def test_a_purl_in_a_bill_of_materials_names_no_package_of_others(servers: list[FakeRegistry], tmp_path: Path) -> None:
    """A document in an image may put any name and version beside any purl."""
    install(tmp_path / "old", day=1)
    purl = "pkg:pypi/alpha@1.0"
    component = {"bom-ref": purl, "type": "library", "name": "spoken-for", "version": "9.9", "purl": purl}
    bill = {"bomFormat": "CycloneDX", "specVersion": "1.5", "version": 1, "components": [component]}
    text = b"Metadata-Version: 2.1\nName: alpha\nVersion: 1.0\n"
    honest = {**debian(dpkg(OPENSSL)), "app/site-packages/alpha-1.0.dist-info/METADATA": text}
    made, tags = put(servers, honest, {**debian(dpkg(OPENSSL)), "app/x.cdx.json": images.to_json(bill)})
    for tag in reversed(tags):
        scan(tag, "vulnerabilities")
    assert [stored_findings(image.image_id) for image in made] == [trivy_findings(image) for image in made]
    assert set(Package.objects.filter(purl=purl).values_list("name", "version")) == {
        ("alpha", "1.0"),
        ("spoken-for", "1.0"),
    }


def test_what_is_said_of_a_vulnerability_is_what_the_database_says(servers: list[FakeRegistry], tmp_path: Path) -> None:
    """Debian rates by package, and Trivy puts that into what it tells of the vulnerability itself."""
    install(tmp_path / "old", day=1)
    every = [{"Package": name, "Version": "1.0-1", "Source": source} for name, source in systems.BINARIES.items()]
    _made, tags = put(servers, debian(dpkg(*every)), debian(dpkg(*every[:2])))
    for tag in (*tags, *reversed(tags)):
        scan(tag, "vulnerabilities")
        facts = {
            fact.id: fact
            for fact in read_vulnerabilities(
                vulndb_install.folder(), Vulnerability.objects.values_list("name", flat=True)
            )
        }
        assert facts
        for row in Vulnerability.objects.all():
            fact = facts[row.name]
            told = (row.title, row.description, row.severity, row.severity_source)
            assert told == (fact.title, fact.description, fact.severity, fact.severity_source)
    assert PackageVulnerability.objects.exclude(severity_source="nvd").exists()


def test_a_scan_that_says_something_else_of_a_shared_package_changes_its_own_image_alone(
    servers: list[FakeRegistry], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a Trivy would that its image has taken over: it tells of no vulnerability."""
    install(tmp_path / "old", day=1)
    made, tags = put(servers, debian(dpkg(OPENSSL)), {**debian(dpkg(OPENSSL)), "another": b"file"})
    scan(tags[0], "vulnerabilities")
    right = stored_findings(made[0].image_id)
    real = findings_store.store_packages

    def lie(*, image: Any, report: Any) -> Any:
        return real(image=image, report=type(report)(**{**vars(report), "matches": (), "vulnerabilities": ()}))

    with monkeypatch.context() as taken_over:
        taken_over.setattr(findings_store, "store_packages", lie)
        scan(tags[1], "vulnerabilities")
    assert stored_findings(made[0].image_id) == right == trivy_findings(made[0])
    assert stored_findings(made[1].image_id)[1] == set()
    rematch_run.tick()  # the shared one is looked at again
    (job,) = Rematch.objects.filter(state=State.QUEUED)
    tasks.rematch(job.pk)
    assert stored_findings(made[0].image_id) == right
    scan(tags[1], "vulnerabilities")
    assert stored_findings(made[1].image_id) == trivy_findings(made[1])
    aggregate.recount()
    assert PackageVariant.objects.filter(image_packages__isnull=False).distinct().count() == 1


def test_a_scan_with_the_database_before_takes_nothing_back(
    servers: list[FakeRegistry], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A scan that has begun before the database was changed ends after others were matched with the new one."""
    install(tmp_path / "old", day=1, less=True)
    made, tags = put(servers, debian(dpkg(OPENSSL)), {**debian(dpkg(OPENSSL)), "another": b"file"})
    scan(tags[0], "vulnerabilities")

    def late(context: ScanContext) -> None:
        install(tmp_path / "new", day=2)
        assert match_again().state == State.SUCCEEDED
        store_results(context)

    with monkeypatch.context() as meanwhile:
        steps = [late if step is store_results else step for step in pipeline.STEPS]
        meanwhile.setattr(pipeline, "STEPS", tuple(steps))
        scan(tags[1], "vulnerabilities")
    assert [stored_findings(image.image_id) for image in made] == [trivy_findings(image) for image in made]
    built = CategoryResult.objects.values_list("database_updated_at", flat=True)
    assert len(set(built)) == 1


def test_another_team_sees_its_own_variants_alone(servers: list[FakeRegistry], tmp_path: Path) -> None:
    """Vulnerabilities, licences and figures of one package, which another team holds from another source."""
    install(tmp_path / "old", day=1)
    licensed = [debian(dpkg(OPENSSL), licenses={"libssl3": one}) for one in ("Apache-2.0", "Proprietary-Evil")]
    licensed[1]["var/lib/dpkg/status"] += dpkg({"Package": "any", "Version": "1.root.io.1"})
    _made, tags = put(servers, *licensed)
    for tag in tags:
        scan(tag, "vulnerabilities")
    aggregate.recount()
    package = Package.objects.get(name="libssl3")
    assert package.varied
    pages = []
    for tag in tags:
        client = Client()
        client.force_login(
            limited(tag.registry, name=f"of {tag.registry}"), backend="django.contrib.auth.backends.ModelBackend"
        )
        page = client.get(reverse("scanning:package", args=[package.pk])).content.decode()
        (row,) = client.get(reverse("scanning:package-list"), {"q": "libssl3"}).context["page"].rows
        pages.append((page, row.findings, client))
    (own, number, client), (other, others, _client) = pages
    assert "Apache-2.0" in own
    assert "Proprietary-Evil" not in own
    assert "Proprietary-Evil" in other
    assert "Apache-2.0" not in other
    mine = set(
        PackageVulnerability.objects.filter(variant__licenses=["Apache-2.0"]).values_list(
            "vulnerability", "vulnerability__name"
        )
    )
    theirs = set(
        PackageVulnerability.objects.exclude(variant__licenses=["Apache-2.0"]).values_list(
            "vulnerability", "vulnerability__name"
        )
    )
    assert number == len(mine) != others == len(theirs)
    for _pk, name in theirs - mine:
        assert name not in own
        assert client.get(reverse("scanning:vulnerability", args=[name])).status_code == 404


def test_orders_of_scans_and_rematches_make_no_difference(tmp_path: Path) -> None:
    """A handful of images of each kind; ``python -m tests.benchmarks.orders`` does it with 60."""
    orders = ScanOrders(tmp_path, images=len(systems.KINDS), seed=11)
    try:
        assert orders.run(rounds=1) == []
    finally:
        orders.close()
    assert orders.kept_apart == 0, "scans disagreed on what has one key"
    assert orders.vulnerabilities > 50
