"""What the console itself adds to its tables."""

from __future__ import annotations

from django.conf import settings

from console import resource_exhaustion
from console.audit import trail
from console.db import cached_counts, schema, trigram_indexes
from console.exports import files as export_files
from console.exports import messages as exports_messages
from console.exports import tasks as export_tasks
from console.exports.tables import EXPORTS
from console.feedback import undo
from console.i18n.messages import register as register_messages
from console.jobs import kinds, tasks, ticks, worker_checks
from console.jobs import messages as jobs_messages
from console.jobs.kinds import JobKind
from console.listing import column_picker, registered_listings, saved_views
from console.machines import keys
from console.machines import messages as machines_messages
from console.models import Export, HealthProbe, ScanHealthProbe
from console.pages.audit_table import AUDIT
from console.sandbox import messages as sandbox_messages
from console.server import health, installation_checks


def register() -> None:
    """Fill the tables; called once, by ``ConsoleConfig.ready()``."""
    register_messages(exports_messages, jobs_messages, machines_messages, sandbox_messages, resource_exhaustion)
    kinds.register(
        JobKind(model=Export, run=export_tasks.export, cluster="quick", slots=settings.QUICK_WORKERS, at_once=2)
    )
    kinds.register(JobKind(model=HealthProbe, run=tasks.health_probe, cluster="quick"))
    kinds.register(JobKind(model=ScanHealthProbe, run=tasks.scan_health_probe, cluster="scan"))

    ticks.register(trail.expire_old_events)
    ticks.register(export_files.prune)
    ticks.register(cached_counts.refresh_stale, order=20)  # counting may take long

    worker_checks.register(schema.find_problem)
    keys.register("secret_key", keys.secret_key)

    registered_listings.register(AUDIT, page="console:audit-list")
    registered_listings.register(EXPORTS, page="console:export-list")
    trigram_indexes.register(trigram_indexes.INDEXES)

    undo.register("view.remove", saved_views.restore)
    undo.register("columns.change", column_picker.restore)

    health.register(health.workers, order=40)

    installation_checks.register(installation_checks.transport, order=10)
    installation_checks.register(installation_checks.people, order=20)
    installation_checks.register(installation_checks.keys, order=30)
    installation_checks.register(installation_checks.machine, order=60)
    installation_checks.register(installation_checks.trail, order=70)
    installation_checks.register(installation_checks.framework, order=80)
