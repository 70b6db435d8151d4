"""The page "Engines": what looks for risks here, in which version, and whether it is ready."""

from __future__ import annotations

from collections.abc import Iterator

from django.conf import settings
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_GET, require_POST

from console.accounts.permissions import administrator_required
from console.audit import trail
from console.i18n.lists import listed
from console.jobs import broker
from console.jobs.models import State
from console.machines import report, versions
from console.machines.identity import has_shared_database
from console.models import FleetVersion, Machine
from console.sandbox import run as sandbox_run
from scanning import configured_engines
from scanning.configured_engines import Readiness
from scanning.health import VULNDB_OLD_DAYS
from scanning.models import Rematch, VulndbUpdate
from scanning.rules import team as rules_team
from scanning.vulndb import install as vulndb_install
from scanning.vulndb import update_job
from scanning.vulndb.archive import VULNDB_VERSION_NAME

HISTORY_ROWS = 5  # last updates of the vulnerability database, and last rematches
RULE_ERROR_LABEL = "Error in a rule"  # label of what YARA-X says of a file of the team's
SHOWN_VERSIONS = (("tallyman", "Tallyman"), ("trivy", "Trivy"), ("yara", "YARA-X"))
FACT_LABELS = {  # of what engines tell of themselves → on screen
    "Version": gettext_lazy("Version"),
    "SHA-256": gettext_lazy("SHA-256"),
    "Executable": gettext_lazy("Executable"),
    "Rules": gettext_lazy("Rules"),
    "Rules of the team": gettext_lazy("Rules of the team"),
    "Rules version": gettext_lazy("Version of the rules"),
    "Rules folder": gettext_lazy("Folder of the team's rules"),
    "Signatures": gettext_lazy("Signatures"),
    "Signatures built": gettext_lazy("Signatures built"),
    "Address": gettext_lazy("Address"),
    "Largest file": gettext_lazy("Largest file"),
    "Database built": gettext_lazy("Database built"),
    "Database size": gettext_lazy("Database size"),
    "Java archives": gettext_lazy("Java archives"),
    "Warning": gettext_lazy("Warning"),
}


@require_GET
def engines(request: HttpRequest) -> HttpResponse:
    """The page; for htmx, while an update or a rematch runs, only the part on the vulnerability database."""
    updates, rematches = VulndbUpdate.objects.all()[:HISTORY_ROWS], Rematch.objects.all()[:HISTORY_ROWS]
    context = {
        "updates": updates,
        "updating": any(not update.is_final for update in updates),
        "rematches": rematches,
        "rematch": next((job for job in rematches if not job.is_final), None),
        "database": vulndb_install.current_facts(),
        "old_days": VULNDB_OLD_DAYS,
        "repository": settings.TRIVY_DATABASE_REPOSITORY,
        "daily_at": update_job.time_of_day(),
        "time_zone": settings.TIME_ZONE,
    }
    if request.headers.get("HX-Request"):
        return render(request, "scanning/_database.html", context)
    context |= {"engines": [_engine_context(*each) for each in _engines()], "fleet": _fleet()}
    return render(request, "scanning/scanners.html", context)


def _fleet() -> dict[str, object] | None:
    """Return the machines and what all of them use; None where there can be one alone."""
    if not has_shared_database():
        return None
    wanted = versions.current()
    since = timezone.now() - report.OFFLINE_AFTER
    machines = [
        {
            "row": row,
            "away": row.last_seen < since,
            "is_primary": versions.SETTINGS_NAME in wanted and wanted[versions.SETTINGS_NAME].machine == row.machine,
            "versions": [(name, row.versions[key]) for key, name in SHOWN_VERSIONS if row.versions.get(key)],
            "database": row.versions.get("database"),
            "has_database": _version_on_machine(row, wanted.get(VULNDB_VERSION_NAME), "database_sha256"),
            "has_rules": _version_on_machine(row, wanted.get(rules_team.RULES_VERSION_NAME), "rules_sha256"),
        }
        for row in report.recent_machines()
    ]
    primary = wanted.get(versions.SETTINGS_NAME)
    return {
        "machines": machines,
        "primary": primary,
        "primary_away": primary and not any(each["is_primary"] and not each["away"] for each in machines),
        "database": wanted.get(VULNDB_VERSION_NAME),
        "rules": wanted.get(rules_team.RULES_VERSION_NAME),
        "rules_files": int(rules.version) if (rules := wanted.get(rules_team.RULES_VERSION_NAME)) else 0,
        "rules_folder": rules_team.source_folder(),
    }


def _version_on_machine(row: Machine, wanted: FleetVersion | None, key: str) -> bool:
    return wanted is None or row.versions.get(key) == wanted.sha256


def _engines() -> Iterator[tuple[str, str, Readiness | None]]:
    """Yield the engines: name, what each looks for, and whether it is ready (None: it is not configured)."""
    yield "Trivy", _("Vulnerabilities, packages and sensitive data"), configured_engines.trivy().ready()
    yield "YARA-X", _("Viruses and trojans, by rules of the project and of the team"), configured_engines.yara().ready()
    antivirus = configured_engines.clamav()
    yield "ClamAV", _("Viruses and trojans, by its signatures"), antivirus.ready() if antivirus else None


def _engine_context(title: str, looks_for: str, readiness: Readiness | None) -> dict[str, object]:
    """Return an engine as the page shows it, with how many images it could not look at last time."""
    facts = readiness.facts if readiness else ()
    runs = [(_("Runs"), _shared_runs(), False)] if title == "Trivy" else []
    held = (
        [(_("Sandbox"), _sandbox_facts(sandbox_run.sandbox_support(), clamd=title == "ClamAV"), False)]
        if readiness
        else []
    )
    return {
        "title": title,
        "looks_for": looks_for,
        "readiness": readiness,
        "facts": [
            (FACT_LABELS.get(label, label), value, label == "SHA-256")
            for label, value in facts
            if label != RULE_ERROR_LABEL
        ]
        + runs
        + held,
        "problems": [value for label, value in facts if label == RULE_ERROR_LABEL],
    }


def _shared_runs() -> str:
    """Return which layers share a run of Trivy, and what one that takes it over could do to others."""
    apart = _(
        "Layers that several images have are read apart from all others, once for all of them: what is read counts for "
        "images that have all layers of the run."
    )
    if settings.SCANS_PER_WORKER == 1:
        alone = _("The other layers of each image have a run of their own.")
        return f"{apart} {alone}"
    return "{} {}".format(
        apart,
        _(
            "The other layers of up to %(n)d small images of one registry that are scanned at the same time share a "
            "run; layers of two registries never do. A layer that takes control of Trivy could falsify the results of "
            "the others in its run for images of the registry. To give each image a run of its own, set "
            "TALLYMAN_SCANS_PER_WORKER=1."
        )
        % {"n": configured_engines.MAX_BATCH_IMAGES},
    )


def _sandbox_facts(cage: sandbox_run.SandboxSupport, *, clamd: bool) -> str:
    """Return what holds an engine on this machine. clamd is a service of its own: what is held is what reads for it."""
    parts = {_("no network"): cage.network, _("only its own files"): cage.files, _("few system calls"): cage.calls}
    granted = [part for part, is_granted in parts.items() if is_granted]
    missing = [part for part, is_granted in parts.items() if not is_granted]
    text = listed(granted) if granted else _("none")
    if missing:
        text = _("%(granted)s; not available here: %(missing)s") % {"granted": text, "missing": listed(missing)}
    return (
        _("for the process that reads layers: %(text)s. clamd runs outside the sandbox.") % {"text": text}
        if clamd
        else text
    )


@require_POST
@administrator_required
def update_database(request: HttpRequest) -> HttpResponse:
    """Queue a download of the vulnerability database, unless one is under way."""
    if VulndbUpdate.objects.filter(state__in=State.active()).exists():
        messages.info(request, _("An update of the vulnerability database is already in progress."))
    else:  # should two slip through, the second finds the first one's lock and says so
        broker.enqueue(VulndbUpdate.objects.create())
        trail.record(request, "database.update")
        messages.success(request, _("The update of the vulnerability database has been started."))
    return redirect("scanning:engines")


@require_POST
@administrator_required
def cancel_update(request: HttpRequest) -> HttpResponse:
    """Cancel the update that waits or runs."""
    for update in VulndbUpdate.objects.filter(state__in=State.active()):
        broker.request_cancel(update)
        trail.record(request, "database.cancel", update)
    return redirect("scanning:engines")
