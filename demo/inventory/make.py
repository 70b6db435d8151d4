"""Making the inventory: registries, repositories and their builds, one after another, each written as it is made."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any

from django.db import transaction
from django.utils import timezone

from console.i18n.message_codes import stored
from console.jobs.models import Priority, State
from demo.inventory import names, syncs
from demo.inventory.catalogue import PackageCatalogue, StoredPackage
from demo.inventory.columns import tables_of
from demo.inventory.runs import CATEGORY_NAMES, PlannedScan, RunPlan
from demo.inventory.tables import FastSqlite, reset_sequences
from inventory.models import Image, Snapshot
from registries.models import Registry
from scanning.engines.base import RiskCategory
from scanning.engines.yara import messages as yara_messages
from scanning.execution import messages as scan_messages
from scanning.exposure import recount
from scanning.findings import coverage
from scanning.models import ExposureRecount

COMMIT_EVERY_REPOSITORIES = 100  # repositories
OWN_LAYERS_PER_IMAGE = 2  # of an image, above those of its base
MIRRORED_SHARE = 0.06  # share of repositories that hold the images of another registry
STATE_WEIGHTS = (  # of images: state, weight
    ("scanned", 850),
    ("not-scanned", 90),
    ("failed", 35),
    ("cancelled", 22),
    ("queued", 3),
)
ENGINES_UPGRADED_AGO = timedelta(
    days=24
)  # so long ago the engines were renewed; what was scanned before is out of date
FAILURES = tuple(  # as the console itself tells them
    (stored(reason), stored(remedy))
    for reason, remedy in (
        (scan_messages.TIMED_OUT(minutes=30), scan_messages.RAISE_TIMEOUT()),
        (scan_messages.NO_MANIFEST(), scan_messages.SYNC_OR_PUSH()),
        (scan_messages.TAG_GONE(), scan_messages.SCAN_OTHER_TAG()),
    )
)
PARTIAL_REASON = stored(yara_messages.NESTED_TOO_DEEP(depth=5).message(1, "app/vendor.zip!/inner.zip"))
SECRETS = (
    ("aws-access-key-id", "AWS", "AWS Access Key ID", 5, "AWS_ACCESS_KEY_ID=AKIA**************EX"),
    ("private-key", "AsymmetricPrivateKey", "Asymmetric Private Key", 4, "-----BEGIN RSA PRIVATE KEY-----****"),
    ("github-pat", "GitHub", "GitHub Personal Access Token", 5, "token: ghp_************************************"),
    ("jwt-token", "JWT", "JWT token", 3, "Authorization: Bearer ey*******"),
    ("slack-web-hook", "Slack", "Slack Webhook", 3, "https://hooks.slack.com/services/*****"),
)
MALWARE = (
    ("Linux_CoinMiner_XMRig", "XMRig", "trojan", 4),
    ("Linux_Botnet_Mirai", "Mirai", "trojan", 5),
    ("PHP_WebShell_Generic", "WebShell", "trojan", 4),
    ("EICAR_Test_File", "EICAR", "virus", 2),
)


@dataclass(frozen=True)
class MadeImage:
    """An image that was made: what its tags need of it."""

    image: int
    manifest: int
    digest: str
    size: int
    at: datetime
    scans: tuple[MadeScan, ...]


@dataclass(frozen=True)
class MadeScan:
    """A scan of a build: it pulls from a tag that is made later. One without a place waits."""

    key: int  # 0 where it waits
    place: PlannedScan | None
    reason: str = ""
    remedy: str = ""


@dataclass(frozen=True)
class MadeTotals:
    """What there is in the end."""

    tags: int
    images: int
    repositories: int
    packages_in_images: int


def make(
    *, tags: int, images: int, seed: int, now: datetime, say: Callable[[str], None] = lambda text: None
) -> MadeTotals:
    """Add ``tags`` tags of ``images`` images to the database, the same ones for the same ``seed`` and ``now``."""
    maker = _Maker(tags=tags, images=images, seed=seed, now=now)
    with FastSqlite():
        made = maker.run(say)
        say("counting where packages and vulnerabilities are")
        began = timezone.now()
        counted, changed = recount.recount()
        ExposureRecount.objects.create(
            state=State.SUCCEEDED,
            priority=Priority.SCHEDULE,
            started_at=began,
            ended_at=timezone.now(),
            images=counted,
            changed=changed,
        )
    return made


class _Maker:
    def __init__(self, *, tags: int, images: int, seed: int, now: datetime) -> None:
        self.tags, self.images, self.seed, self.now = tags, images, seed, now
        self.rng = random.Random(seed)  # noqa: S311  # nosec B311  # made-up data
        self.catalogue = PackageCatalogue(now=now)
        table = self._tables = tables_of(now)
        self.repository, self.tag, self.image = table["repository"], table["tag"], table["image"]
        self.manifest, self.layer, self.held = table["manifest"], table["layer"], table["held"]
        self.made_tags = self.made_images = self.made_repositories = 0
        self._bases: dict[tuple[str, int, int], tuple[list[StoredPackage], list[tuple[int, str, int]]]] = {}
        self._holding: set[tuple[int, int]] = set()  # registries and the layers of bases that they hold
        self._builds: list[list[MadeImage]] = []  # of some repositories, for mirrors
        self._runs = RunPlan(table, images=images, rng=self.rng, now=now)
        self._waiting: list[tuple[MadeImage, Registry, int, str]] = []  # what scans wait to pull, the youngest of all
        self._synced: dict[int, datetime] = {}  # registry → when its last sync ended
        self._engines = coverage.current_versions()

    # --- the whole ---------------------------------------------------------------------------------------------------
    def run(self, say: Callable[[str], None]) -> MadeTotals:
        registries = self._registries()
        weights = [weight for *_rest, weight in names.REGISTRIES]
        repositories = self._names()
        while self.made_tags < self.tags:
            with transaction.atomic():
                for _n in range(COMMIT_EVERY_REPOSITORIES):
                    if self.made_tags >= self.tags:
                        break
                    self._repository(self.rng.choices(registries, weights)[0], next(repositories))
                self._flush()
            say(f"{self.made_tags:,} tags, {self.made_images:,} images, {self.held.written:,} packages in images")
        with transaction.atomic():
            self._ends(registries)
            self._flush()
            reset_sequences([*self._tables.values(), *self.catalogue.tables])
        return MadeTotals(self.made_tags, self.made_images, self.made_repositories, self.held.written)

    def _flush(self) -> None:
        for table in (*self.catalogue.tables, *self._tables.values()):
            table.flush()

    def _registries(self) -> list[Registry]:
        taken = set(Registry.objects.values_list("name", flat=True))
        made = []
        for name, kind, version, host, region, _weight in names.REGISTRIES:
            free = next(one for n in range(1, 1000) if (one := name if n == 1 else f"{name} {n}") not in taken)
            row = Registry.objects.create(
                name=free,
                type=kind,
                version=version,
                address=f"https://{host}",
                region=region,
                limit=self.rng.choice((None, None, 100, 500)),
                connection=Registry.Connection.CONNECTED,
                connection_checked_at=self.now,
            )
            self._synced[row.pk] = self.now - timedelta(minutes=self.rng.randrange(180))
            made.append(row)
        return made

    def _names(self) -> Iterator[str]:
        """Yield names of repositories, all different."""
        for n in range(10**9):
            team, thing = self.rng.choice(names.TEAMS), self.rng.choice(names.THINGS)
            stem = f"{team}/{thing}" if self.rng.random() < 0.7 else f"{team}/{self.rng.choice(names.TEAMS)}-{thing}"
            yield f"{stem}-{n}" if n % 3 else f"{team}/{self.rng.choice(names.TEAMS)}/{thing}-{n}"

    # --- one repository ----------------------------------------------------------------------------------------------
    def _repository(self, registry: Registry, name: str) -> None:
        """Add a repository: most have a few tags, some have thousands."""
        rng = self.rng
        count = min(int(3 * rng.paretovariate(0.85)), 3000, self.tags - self.made_tags)
        key = self.repository.key()
        first_seen = self.now - timedelta(days=rng.randrange(30, 400), seconds=rng.randrange(86_400))
        self.repository.add(key, registry.pk, name, first_seen, self._synced[registry.pk])
        self.made_repositories += 1
        unscanned: list[MadeImage] = []
        if self._builds and rng.random() < MIRRORED_SHARE:
            builds = rng.choice(self._builds)[-count:]
        else:
            due = round(self.images * (self.made_tags + count) / self.tags) - self.made_images
            builds = self._builds_of(registry, name, max(1, min(due, count)), first_seen)
            unscanned = builds[::-1]
            if len(builds) < 40:
                self._builds = [*self._builds[-50:], builds]
        address = f"{registry.host}/{name}"
        for n in range(count):
            build = builds[n * len(builds) // count]
            tag, called = self.tag.key(), names.tag_name(n, count, build.at, rng)
            self.tag.add(
                *(tag, key, registry.pk, called, build.digest, build.manifest, build.image, address, build.size),
                *(build.at, max(build.at, first_seen)),
            )
            if unscanned and build is unscanned[-1]:
                self._scans(unscanned.pop(), registry, tag, f"{address}:{called}")
        self.made_tags += count

    def _builds_of(self, registry: Registry, name: str, count: int, since: datetime) -> list[MadeImage]:
        rng = self.rng
        base = rng.choices(names.BASES, [one.weight for one in names.BASES])[0]
        if base.os:
            languages = list(names.LANGUAGES)
            language = rng.choices(languages, [names.LANGUAGES[one][2] for one in languages])[0]
        else:
            language = "golang"
        libraries, most, _weight = names.LANGUAGES[language]
        chosen = (
            rng.sample(libraries, min(len(libraries), max(3, int(most * rng.betavariate(2, 3))))) if libraries else []
        )
        extra = rng.sample(base.extra, int(base.most_extra * rng.betavariate(1.4, 3))) if base.os else []
        variant = rng.randrange(4)
        place = rng.randrange(len(base.releases))
        versions = [rng.randrange(0, 9) for _one in chosen]
        folder = {"npm": "app/node_modules", "pypi": "usr/lib/python3/site-packages", "maven": "app/libs"}.get(
            language, "app"
        )
        paths = [f"{folder}/{one.replace(':', '/')}" if language != "golang" else "app/server" for one in chosen]
        history = names.history(base.os, language, name)
        own: list[StoredPackage] = []
        builds = []
        span = (self.now - since) / (count + 1)
        stale = True
        for n in range(count):
            if n and rng.random() < 0.12 and place < len(base.releases) - 1:
                place, stale = place + 1, True
            if n and chosen and rng.random() < 0.4:
                moved = rng.randrange(len(chosen))
                versions[moved], stale = min(versions[moved] + 1, 13), True
            if stale:
                system, layers = self._base(base, place, variant)
                release = place + variant
                own = [self.catalogue.package(base.type, base.os, one, release) for one in extra]
                own += [
                    self.catalogue.package(language, "", one, version)
                    for one, version in zip(chosen, versions, strict=True)
                ]
                counts = [sum(values) for values in zip(*(one.counts for one in (*system, *own)), strict=True)] or [
                    0
                ] * 6
                stale = False
            builds.append(
                self._build(
                    f"{registry.pk}/{name}/{n}",
                    registry=registry,
                    at=since + span * (n + 1),
                    os=f"{base.os} {base.releases[place]}".strip(),
                    layers=layers,
                    system=system,
                    own=own,
                    paths=[""] * len(extra) + paths,
                    counts=counts,
                    history=history,
                )
            )
        return builds

    def _base(
        self, base: names.Base, place: int, variant: int
    ) -> tuple[list[StoredPackage], list[tuple[int, str, int]]]:
        """Return packages and layers (key, diff ID, size) of a release of a base image, which all its images share."""
        found = self._bases.get((base.os, place, variant))
        if found is None:
            packages = [
                self.catalogue.package(base.type, base.os, one, place + variant, first) for one, first in base.system
            ]
            layers = [self._layer(f"{base.os} {place} {variant} {n}", 20_000_000) for n in range(2)] if base.os else []
            found = self._bases[base.os, place, variant] = (packages, layers)
        return found

    def _layer(self, seed: str, size: int) -> tuple[int, str, int]:
        key, diff_id = self.layer.key(), self._digest("diff", seed)
        size = size // 2 + self.rng.randrange(size)
        self.layer.add(
            key, self._digest("layer", seed), diff_id, True, size, "application/vnd.oci.image.layer.v1.tar+gzip"
        )
        return key, diff_id, size

    # --- one image ---------------------------------------------------------------------------------------------------
    def _build(
        self,
        seed: str,
        *,
        registry: Registry,
        at: datetime,
        os: str,
        layers: list[tuple[int, str, int]],
        system: list[StoredPackage],
        own: list[StoredPackage],
        paths: list[str],
        counts: list[int],
        history: str,
    ) -> MadeImage:
        rng = self.rng
        state = rng.choices([name for name, _weight in STATE_WEIGHTS], [weight for _name, weight in STATE_WEIGHTS])[0]
        pk, manifest = self.image.key(), self.manifest.key()
        layers = [*layers, *(self._layer(f"{seed} {n}", 12_000_000) for n in range(OWN_LAYERS_PER_IMAGE))]
        reason, remedy = rng.choice(FAILURES) if state == "failed" else ("", "")
        state, scans = self._scans_of(state, at, reason, remedy)
        last = next((scan for scan in reversed(scans) if scan.place and scan.place.state != State.CANCELLED), None)
        scanned_at = last.place.ended if last and last.place else None
        known = scanned_at is not None and state != "failed"
        top = layers[-1][1]
        if known:
            bottom = layers[0][1]
            for one in system:
                self.held.add(pk, one.variant, one.package, "", bottom)
            for one, path in zip(own, paths, strict=True):
                self.held.add(pk, one.variant, one.package, path, top)
        secrets = rng.choices((0, 1, 2, 5), (92, 5, 2, 1))[0] if known else 0
        malware = rng.choices((0, 1), (995, 5))[0] if known else 0
        worst_secret, worst_malware, kinds = self._findings(pk, top, secrets, malware, scanned_at)
        found = [rank for rank, count in zip((5, 4, 3, 2, 1), counts, strict=False) if count]
        if state != "failed":
            reason = remedy = ""
        partial = {category for category in CATEGORY_NAMES if known and rng.random() < 0.02}
        outcomes = {each: _outcome(state, each in partial) for each in CATEGORY_NAMES} if last else {}
        values: list[Any] = [*counts, *kinds, secrets, len(system) + len(own), worst_malware, worst_secret]
        image_id = self._digest("image", seed)
        self.image.add(
            *(pk, image_id, "linux" if os else "", "arm64" if rng.random() < 0.06 else "amd64", at),
            *(history, True, len(layers), state, reason, remedy, registry.pk if last else None, scanned_at),
            os if known else "",
            *(values if known else [None] * len(values)),
            max([*found[:1], worst_malware, worst_secret], default=0) if known else None,
            *(outcomes.get(name.removesuffix("_coverage"), "") for name in Image.COVERAGES),
        )
        size = sum(each for _key, _diff, each in layers)
        digest = self._digest("manifest", seed)
        media_type = "application/vnd.oci.image.manifest.v1+json"
        self.manifest.add(manifest, digest, media_type, "image", size, image_id, self.now)
        for position, (key, diff_id, layer_size) in enumerate(layers):
            if (registry.pk, key) not in self._holding:
                self._tables["registry_layer"].add(registry.pk, key)
                if position < len(layers) - OWN_LAYERS_PER_IMAGE:  # one of a base, which comes again
                    self._holding.add((registry.pk, key))
            self._tables["manifest_layer"].add(manifest, position, key, layer_size)
            self._tables["image_layer"].add(pk, position, diff_id, position * 2)
        for category, outcome in outcomes.items():
            told = (PARTIAL_REASON, "") if outcome == "partial" else (reason, remedy)
            looked = (scanned_at, scanned_at if known else None, last.key if last else None)
            self._tables["result"].add(pk, category, outcome, *told, self._engine(category, scanned_at), *looked)
        self.made_images += 1
        return MadeImage(pk, manifest, digest, size, at, scans)

    def _engine(self, category: str, scanned_at: datetime | None) -> str:
        """Return the version of the engine that looked at ``scanned_at``: that of today, or one before it."""
        today = self._engines.get(RiskCategory(category))
        if today is None or scanned_at is None or scanned_at < self.now - ENGINES_UPGRADED_AGO:
            return "trivy 0.60.0" if category != RiskCategory.MALWARE else "yara-x 1.0.0"
        return f"{today} made up" if today.endswith(",") else today

    def _scans_of(self, state: str, at: datetime, reason: str, remedy: str) -> tuple[str, tuple[MadeScan, ...]]:
        """Return the scans of an image made ``at`` that is to be in ``state``, and the state that they leave it in."""
        scans: list[MadeScan] = []

        def scanned(as_: State, *why: str) -> bool:
            before = scans[-1].place if scans else None
            place = self._runs.place(as_, after=before.ended if before else at)
            if place:
                scans.append(MadeScan(self._tables["scan"].key(), place, *why))
            return place is not None

        if state == "scanned" or (state in {"cancelled", "queued"} and self.rng.random() < 0.6):
            scanned(State.SUCCEEDED)
        left = "scanned" if scans else "not-scanned"
        if state == "failed" and scanned(State.FAILED, reason, remedy):
            left = "failed"
        elif state == "cancelled" and scanned(State.CANCELLED):
            left = "cancelled"
        elif state == "queued":
            scans.append(MadeScan(0, None))
            left = "queued"
        return left, tuple(scans)

    def _findings(
        self, image: int, diff_id: str, secrets: int, malware: int, at: datetime | None
    ) -> tuple[int, int, list[int]]:
        worst_secret = worst_malware = 0
        kinds = [0, 0]  # viruses, trojans
        for n in range(secrets):
            rule, category, title, severity, masked = self.rng.choice(SECRETS)
            worst_secret = max(worst_secret, severity)
            path = self.rng.choice(("app/.env", "root/.aws/credentials", "app/config/settings.yaml", "home/app/.npmrc"))
            print_ = sha256(f"{rule}{image}{n}".encode()).hexdigest()
            self._tables["secret"].add(
                image, rule, category, title, severity, path, n + 3, n + 3, masked, print_, diff_id, at
            )
        for n in range(malware):
            rule, family, kind, severity = self.rng.choice(MALWARE)
            worst_malware = max(worst_malware, severity)
            kinds[kind == "trojan"] += 1
            print_ = sha256(f"{rule}{n}".encode()).hexdigest()
            self._tables["malware"].add(
                *(image, "yara", rule, family, kind, severity, f"A file that {family} is known by."),
                *(f"opt/{family.lower()}/run", 1_840_000, print_, diff_id, at),
            )
        return worst_secret, worst_malware, kinds

    def _scans(self, build: MadeImage, registry: Registry, tag: int, address: str) -> None:
        """Add the scans of ``build``, which pull from a tag of it."""
        for scan in build.scans:
            if scan.place is None:
                self._waiting.append((build, registry, tag, address))
                continue
            place = scan.place
            self._tables["scan"].add(
                *(scan.key, build.image, build.digest, registry.pk, tag, address, json.dumps(CATEGORY_NAMES)),
                *(place.state.value, place.created, place.started, place.ended, place.run),
                *(scan.reason, scan.remedy, build.size // 3),
            )

    # --- what stands beside ------------------------------------------------------------------------------------------
    def _ends(self, registries: list[Registry]) -> None:
        """Count the runs, and add the records of syncs and of the trend."""
        run = self._runs.waiting() if self._waiting else None
        for build, registry, tag, address in self._waiting:
            self._tables["scan"].add(
                *(self._tables["scan"].key(), build.image, build.digest, registry.pk, tag, address),
                *(json.dumps(CATEGORY_NAMES), State.QUEUED.value, self.now, None, None, run, "", "", 0),
            )
        self._flush()
        self._runs.count()
        for registry in registries:
            syncs.add_syncs(registry, last=self._synced[registry.pk], rng=self.rng)
        from inventory.dashboard import figures as dashboard_figures
        from inventory.dashboard import trend

        trend.write_snapshots(now=self.now)
        figures = dashboard_figures.read_overview(now=True)
        last = Snapshot.objects.order_by("-day").first()
        if last is None:
            return
        gaps = set(self.rng.sample(range(3, 28), 3))
        for back in range(1, 30):
            if back in gaps or Snapshot.objects.filter(day=last.day - timedelta(days=back)).exists():
                continue
            share = 1 + 0.01 * back + self.rng.uniform(-0.02, 0.02)
            row = Snapshot.objects.get(pk=last.pk)
            row.pk, row.day, row.at = None, last.day - timedelta(days=back), self.now - timedelta(days=back)
            for name in ("at_risk", "critical", "high", "medium", "low", "fixable", "malware", "sensitive"):
                if (figure := getattr(row, name)) is not None:
                    setattr(row, name, int(figure * share))
            row.at_risk = min(row.at_risk, figures.images)
            row.save()

    def _digest(self, kind: str, seed: str) -> str:
        return f"sha256:{sha256(f'{self.seed} {kind} {seed}'.encode()).hexdigest()}"


def _outcome(state: str, is_partial: bool) -> str:
    return "failed" if state == "failed" else "partial" if is_partial else "done"
