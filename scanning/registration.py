"""What scanning adds to the tables of the console and of the inventory."""

from __future__ import annotations

from django.conf import settings

from console.db import cached_counts, trigram_indexes
from console.feedback import undo
from console.i18n.messages import register as register_messages
from console.jobs import kinds, ticks, worker_checks
from console.jobs.kinds import JobKind
from console.listing import registered_listings
from console.machines import keys
from console.server import health as console_health
from console.server import installation_checks
from inventory import filters as image_filters
from inventory.dashboard import figures
from registries.models import PushEvent
from registries.pull_limit import LIMIT_CHANGED
from scanning import alerts, configured_engines, health, search_indexes, tasks
from scanning import installation_checks as scanning_checks
from scanning.engines import messages as engines_messages
from scanning.engines.clamav import messages as engines_clamav_messages
from scanning.engines.formats import messages as engines_formats_messages
from scanning.engines.sandbox import messages as engines_sandbox_messages
from scanning.engines.trivy import messages as engines_trivy_messages
from scanning.engines.yara import messages as engines_yara_messages
from scanning.execution import messages as execution_messages
from scanning.exposure import affected_images, recount
from scanning.exposure import tables as exposure_tables
from scanning.findings import coverage
from scanning.findings import tables as finding_tables
from scanning.fleet import messages as fleet_messages
from scanning.fleet import versions
from scanning.layers import messages as layers_messages
from scanning.models import ExposureRecount, Rematch, Scan, ScanRun, VulndbUpdate
from scanning.models import messages as models_messages
from scanning.rematch import messages as rematch_messages
from scanning.rematch import run as rematch_run
from scanning.rules import messages as rules_messages
from scanning.runs import cancel, estimate, limit_waits, recommended, refused_credentials
from scanning.runs import messages as runs_messages
from scanning.runs.tables import RUNS, SCANS
from scanning.schedules import messages as schedules_messages
from scanning.schedules import scheduler
from scanning.schedules import undo as schedule_undo
from scanning.schedules.tables import SCHEDULES
from scanning.vulndb import messages as vulndb_messages
from scanning.vulndb import update_job


def register() -> None:
    """Fill the tables; called once, by ``ScanningConfig.ready()``."""
    register_messages(
        engines_clamav_messages,
        engines_formats_messages,
        engines_messages,
        engines_sandbox_messages,
        engines_trivy_messages,
        engines_yara_messages,
        execution_messages,
        fleet_messages,
        layers_messages,
        models_messages,
        rematch_messages,
        rules_messages,
        runs_messages,
        schedules_messages,
        vulndb_messages,
    )
    _register_work()
    _register_lists()
    _register_checks()


def _register_work() -> None:
    kinds.register(
        JobKind(
            model=Scan,
            run=tasks.scan,
            cluster="scan",
            slots=settings.SCAN_WORKERS,
            at_once=settings.SCANS_PER_WORKER,
            manual_first=True,
            gate=versions.may_take_jobs,
            prepare=configured_engines.prepare,
        )
    )
    kinds.register(JobKind(model=PushEvent, run=tasks.push_event, cluster="quick", slots=1, at_once=4))
    kinds.register(JobKind(model=ScanRun, run=tasks.run, cluster="quick", slots=1, at_once=2))
    kinds.register(JobKind(model=Rematch, run=tasks.rematch, cluster="quick", slots=1, gate=versions.may_take_jobs))
    kinds.register(JobKind(model=VulndbUpdate, run=tasks.update_database, cluster="quick", slots=1))
    kinds.register(JobKind(model=ExposureRecount, run=tasks.recount, cluster="quick", slots=1))

    ticks.register(versions.tick)
    ticks.register(update_job.tick)
    ticks.register(refused_credentials.tick)
    ticks.register(limit_waits.tick)
    LIMIT_CHANGED.register("scans", limit_waits.release)
    ticks.register(rematch_run.tick)
    ticks.register(cancel.tick)
    ticks.register(scheduler.tick)
    ticks.register(recount.tick)

    worker_checks.register(versions.wrong_keys)
    keys.register("fingerprint_key", configured_engines.fingerprint_key)


def _register_lists() -> None:
    registered_listings.register(RUNS, page="scanning:run-list")
    registered_listings.register(SCANS)
    registered_listings.register(SCHEDULES, page="scanning:schedule-list")
    registered_listings.register(finding_tables.VULNERABILITIES)
    registered_listings.register(finding_tables.MALWARE)
    registered_listings.register(finding_tables.SENSITIVE)
    registered_listings.register(finding_tables.PACKAGES)
    registered_listings.register(exposure_tables.VULNERABILITIES, page="scanning:vulnerability-list")
    registered_listings.register(exposure_tables.PACKAGES, page="scanning:package-list")
    registered_listings.register(affected_images.AFFECTED_IMAGES, drawer_page="scanning:vulnerability")
    registered_listings.register(affected_images.IMAGES_WITH_PACKAGE, drawer_page="scanning:package")
    trigram_indexes.register(search_indexes.INDEXES)

    image_filters.COVERAGE.register(
        image_filters.CoverageChoices(choices=coverage.coverage_choices, condition=coverage.coverage_condition)
    )
    figures.register(alerts.rematch_alerts, order=10)
    figures.register(alerts.coverage_alerts, order=20)

    cached_counts.register("coverage", alerts.count_incomplete_images)
    cached_counts.register("recommended", recommended.count)
    cached_counts.register("cost-all", estimate.count_all)
    cached_counts.register("cost-recommended", estimate.count_recommended)

    undo.register("schedule.delete", schedule_undo.restore)
    undo.register("schedule.off", schedule_undo.switch_on)


def _register_checks() -> None:
    console_health.register(health.vulnerability_database, order=10)
    console_health.register(health.malware_rules, order=20)
    console_health.register(health.antivirus, order=30)
    console_health.register(health.machines, order=50)

    installation_checks.register(scanning_checks.checks, order=50)
