"""Rematch: a changed vulnerability database gives all images new findings from their stored packages, without a pull.

Vulnerabilities hang on variants of packages, so each is matched once however many images hold it, thousands in one run
of Trivy. A variant carries what it was matched with: so a rematch goes on where it was broken off, and does again what
a scan with the database before has written meanwhile.

Packages that cannot be matched (a damaged advisory of one system, say) keep no others from it: their images say so, the
job ends with what failed, and they are tried again.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from datetime import timedelta

from django.db import transaction
from django.db.models import Exists, OuterRef, Q, QuerySet
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from console import visibility
from console.i18n.message_codes import Message
from console.jobs import broker
from console.jobs.errors import Draining, JobFailure, LeaseLost
from console.jobs.job_run import JobRun
from console.jobs.models import Priority, State
from console.visibility import current
from scanning import configured_engines
from scanning.engines.base import EngineError, RiskCategory
from scanning.engines.trivy.match import Matcher, matched_with
from scanning.findings import counts
from scanning.findings import store as findings_store
from scanning.fleet import versions as fleet_versions
from scanning.models import CategoryResult, ImagePackage, PackageVariant, PackageVulnerability, Rematch
from scanning.rematch import unmatched
from scanning.rematch.match_parts import MatchFailure, SystemPart, match_part
from scanning.vulndb import install as vulndb_install
from scanning.vulndb import releases

RETRY_DELAY = timedelta(hours=1)  # after which what has failed is tried again by itself
CHUNK_PACKAGES = 3000  # packages in one run of Trivy; its memory and ours go with it
MAX_CONCURRENT_RUNS = 2  # runs of Trivy beside each other
MAX_CACHED_VULNERABILITIES = 50_000  # vulnerabilities whose description is not asked for again in one rematch
BATCH_IMAGES = 10_000  # of images, read at a time
FEW_VARIANTS = 2000  # changed variants whose images are looked up; with more, all images are counted anew


def start_rematch(*, priority: Priority = Priority.SCHEDULE) -> Rematch | None:
    """Queue a rematch of what is not matched with the database in use; None where nothing is, or one is under way."""
    facts = vulndb_install.current_facts()
    if facts is None or Rematch.objects.filter(state__in=State.active()).exists():
        return None
    now = matched_with(configured_engines.trivy().engine_version(), facts)
    if not _out_of_date(now, again=True).exists():
        return None
    with transaction.atomic():
        PackageVariant.objects.exclude(failed_with="").update(failed_with="")  # to be tried again
        job = Rematch.objects.create(priority=priority)
        broker.enqueue(job)
    return job


def tick() -> None:
    """Queue a rematch where packages are matched with an older database; an hour after one with this has failed.

    That finds what a rematch has missed: a scan that began before the change and ended after it, say. One that was
    cancelled is started again by hand alone.
    """
    facts = vulndb_install.current_facts()
    if facts is None or Rematch.objects.filter(state__in=State.active()).exists() or not fleet_versions.is_current():
        return
    try:
        now = matched_with(configured_engines.trivy().engine_version(), facts)
    except EngineError:  # the page Scanners says so
        return
    last = Rematch.objects.exclude(state__in=State.active()).first()
    if last and last.state == State.CANCELLED and last.database_version == now:
        return
    if last and last.state == State.FAILED and last.database_version in ("", now) and not _may_retry(last):
        return
    if _stored().filter(matched_with__lt=now).exists():
        start_rematch()


def _may_retry(job: Rematch) -> bool:
    """Return whether ``job`` has ended so long ago that what failed is tried again."""
    return job.ended_at is not None and timezone.now() - job.ended_at >= RETRY_DELAY


def rematch(run: JobRun[Rematch]) -> None:
    """Match all packages that are out of date, and count their images anew. Writes only what differs."""
    job = run.job
    before = Rematch.objects.filter(pk__lt=job.pk).first()
    everything = job.attempt > 1 or (before is not None and before.state != State.SUCCEEDED)
    changed: set[int] = set()
    failures: list[MatchFailure] = []
    try:
        matcher = _match_all(run, changed, failures)
    except (LeaseLost, Draining):
        raise  # somebody goes on with it
    except Exception:
        _recount(run, changed, everything=False, check=False)  # what was written must show
        raise
    images = _recount(run, changed, everything=everything, check=True)

    def write() -> None:
        _store_matched_with(matcher)
        unmatched.mark_images(matcher.database)
        new = PackageVulnerability.objects.filter(rematch=job)
        holders = ImagePackage.objects.filter(variant__in=new.values("variant"))
        Rematch.objects.filter(pk=job.pk).update(
            images=images,
            new_matches=new.count(),
            new_in_images=holders.values("image").distinct().count(),
            unmatched=sum(len(failure.variants) for failure in failures),
        )

    if failures:
        reason, remedy = unmatched.describe_failures(failures)
        run.finish(to=State.FAILED, reason=reason, remedy=remedy, write=write)
    else:
        run.finish(write=write)


def _match_all(run: JobRun[Rematch], changed: set[int], failures: list[MatchFailure]) -> Matcher:
    """Match until nothing is out of date, also where the database changes meanwhile; return the last matcher.

    ``changed`` takes the ids of variants whose vulnerabilities differ, ``failures`` what could not be matched.
    """
    known: dict[str, int] = {}
    done, gone = 0, run.job.gone_matches
    while True:
        matcher = _matcher()
        total = done + _out_of_date(matcher.matched_with).count()
        run.progress("matching", done, total, database_version=matcher.matched_with)
        with _matching(run, matcher, known) as parts:
            for part in parts:
                run.check()
                with transaction.atomic():
                    known |= findings_store.store_vulnerabilities(list(part.vulnerabilities.values()))
                    changes = findings_store.store_matches(
                        variants=part.matched, known=known, matches=part.matches, rematch=run.job.pk
                    )
                    findings_store.mark_matched(part.matched, matched_with=matcher.matched_with)
                    unmatched.mark_variants(part.failures, matched_with=matcher.matched_with)
                changed |= changes.variants
                failures += part.failures
                done += part.size
                gone += changes.gone
                run.progress("matching", done, max(done, total), packages=done, gone_matches=gone)
                if not _is_current(matcher):
                    break
        if _is_current(matcher) and not _out_of_date(matcher.matched_with).exists():
            return matcher
        known.clear()
        failures.clear()


def _matcher() -> Matcher:
    try:
        return configured_engines.trivy().matcher()
    except EngineError as error:
        raise JobFailure(error.reason, error.remedy) from error


def _is_current(matcher: Matcher) -> bool:
    facts = vulndb_install.current_facts()
    return facts is not None and facts.folder == matcher.database.folder


@contextmanager
def _matching(run: JobRun[Rematch], matcher: Matcher, known: dict[str, int]) -> Iterator[Iterator[SystemPart]]:
    """Give the parts of what is out of date, each matched; some are matched while others are written."""
    stopped = threading.Event()
    hopeless: dict[str, Message] = {}  # systems of which too much has failed, with the reason

    def check() -> None:
        if stopped.is_set():
            raise InterruptedError
        run.check()

    def match(part: SystemPart, names: list[str]) -> SystemPart:
        return match_part(matcher, part, known=names, hopeless=hopeless, scratch=run.scratch, check=check)

    def results() -> Iterator[SystemPart]:
        waiting: deque[Future[SystemPart]] = deque()
        for part in _parts(matcher.matched_with):
            waiting.append(pool.submit(match, part, list(known)[:MAX_CACHED_VULNERABILITIES]))
            if len(waiting) > MAX_CONCURRENT_RUNS:
                yield waiting.popleft().result()
        for future in waiting:
            yield future.result()

    with visibility.ThreadPool(max_workers=MAX_CONCURRENT_RUNS, thread_name_prefix="match") as pool:
        try:
            yield results()
        finally:
            stopped.set()
            pool.shutdown(wait=True, cancel_futures=True)


def _parts(now: str) -> Iterator[SystemPart]:
    """Yield the variants that are not matched with ``now``, of one system at a time."""
    rows = _out_of_date(now).order_by("system", "pk")
    system, last = "", 0
    while True:
        after = rows.filter(Q(system=system, pk__gt=last) | Q(system__gt=system))
        found = list(after.values_list("pk", "system", "package_id", "record")[:CHUNK_PACKAGES])
        if not found:
            return
        system = found[0][1] or ""
        own = [row for row in found if row[1] == system]
        yield SystemPart(system, {row[0]: row[2] for row in own}, {row[0]: row[3] for row in own})
        last = max(row[0] for row in own)


def _stored() -> QuerySet[PackageVariant]:
    """Return the variants that images hold and that can be matched without them."""
    held = ImagePackage.objects.filter(variant=OuterRef("pk"))
    return PackageVariant.objects.filter(Exists(held), system__isnull=False)


def _out_of_date(now: str, *, again: bool = False) -> QuerySet[PackageVariant]:
    """Return the variants that are not matched with ``now``; ``again`` also those that could not be."""
    rows = _stored().exclude(matched_with=now)
    return rows if again else rows.exclude(failed_with=now)


def _recount(run: JobRun[Rematch], changed: set[int], *, everything: bool, check: bool) -> int:
    """Count anew the images that hold what has changed; return of how many the counts did."""
    if not changed and not everything:
        return 0
    if check:
        run.progress("counting")
    images = _matched_images() if everything or len(changed) > FEW_VARIANTS else counts.images_with(changed, but=0)
    return counts.recount_vulnerabilities(images, check=run.check if check else lambda: None)


def _matched_images() -> Iterator[int]:
    """Yield the ids of all images that were looked at for vulnerabilities; no read stays open in between."""
    results = CategoryResult.objects.filter(category=RiskCategory.VULNERABILITIES, looked_at__isnull=False)
    last = 0
    while found := list(results.filter(image__gt=last).order_by("image").values_list("image_id")[:BATCH_IMAGES]):
        yield from (image_id for (image_id,) in found)
        last = found[-1][0]


def _store_matched_with(matcher: Matcher) -> None:
    """Note of all images that can be what they are matched with now."""
    apart = PackageVariant.objects.filter(Q(system__isnull=True) | ~Q(failed_with=""))
    only_by_scan = ImagePackage.objects.filter(variant__in=apart).values("image")
    results = CategoryResult.objects.filter(category=RiskCategory.VULNERABILITIES, looked_at__isnull=False)
    version = f"trivy {matcher.version}, database {matcher.database.version}"
    results.exclude(image__in=only_by_scan).exclude(
        database_updated_at=matcher.database.built_at, engine_version=version
    ).update(database_updated_at=matcher.database.built_at, engine_version=version)
    releases.update_unsupported(matcher.database.folder)


def last_ended_rematch() -> Rematch | None:
    """Return the last rematch that has come to its end, be it without some packages; or None."""
    return Rematch.objects.filter(Rematch.is_complete()).first()


def visible_new_matches(job: Rematch) -> QuerySet[PackageVulnerability]:
    """Return what a rematch has brought that is there still and seen."""
    return PackageVulnerability.objects.filter(rematch=job)


def describe_rematch(job: Rematch) -> str:
    """Return what a rematch has brought, for a person: "12 new in 40 images"."""
    if current() is not None:  # the figures of the job are those of all images
        new = visible_new_matches(job).count()
        return _("%(new)s new") % {"new": f"{new:,}"} if new else _("nothing new")
    if not job.new_matches:
        return _("nothing new")
    told = ngettext("%(new)s new in %(images)s image", "%(new)s new in %(images)s images", job.new_in_images)
    return told % {"new": f"{job.new_matches:,}", "images": f"{job.new_in_images:,}"}
