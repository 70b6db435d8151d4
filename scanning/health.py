"""How the engines are: facts for the foot of the sidebar, and a notice where results cannot be trusted to be whole."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime

from django.core.cache import cache
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from console.health import Fact, Notice
from scanning import database, installed
from scanning.engines.base import EngineError, Readiness
from scanning.engines.trivy_database import read_facts

STALE_DAYS = 7
RULES_SECONDS = 60  # so long one look at the folder of rules holds


def facts() -> Iterable[Fact]:
    """Tell how old the vulnerability database is, whether it is the demo one, and how many malware rules there are."""
    return [_database(datetime.now(UTC)), _rules()]


def _database(now: datetime) -> Fact:
    label = _("Vulnerability database")
    try:
        found = read_facts(database.folder())
    except EngineError as error:
        return Fact("fault", label, _("none"), error.reason, Notice("fault", error.reason, error.remedy))
    built = f"{found.built_at:%Y-%m-%d %H:%M} UTC"
    if found.is_demo:
        notice = Notice(
            "fault",
            _("Demo vulnerability database"),
            _("The public one could not be had, so the small one that this project makes itself is in use. It knows ")
            + _("only a few advisories: most vulnerabilities of your images are not found with it. ")
            + _("Where there is a network: manage.py update_vulnerability_db."),
        )
        return Fact("fault", label, _("demo"), built, notice)
    days = found.age_days(now)
    value = ngettext("%(n)d day", "%(n)d days", days) % {"n": days} if days else _("today")
    if days <= STALE_DAYS:
        return Fact("ok", label, value, built)
    title = ngettext(
        "The vulnerability database is %(n)d day old", "The vulnerability database is %(n)d days old", days
    )
    text = _("Newer vulnerabilities are not found. Update it: manage.py update_vulnerability_db.")
    return Fact("fault", label, value, built, Notice("fault", title % {"n": days}, text))


def _rules() -> Fact:
    label = _("Malware rules")
    ready: Readiness | None = cache.get("scanning.health.rules")
    if ready is None:
        ready = installed.yara().ready()
        cache.set("scanning.health.rules", ready, RULES_SECONDS)
    if not ready.ready:
        return Fact("fault", label, _("none"), ready.reason, Notice("fault", ready.reason, ready.remedy))
    detail = ", ".join(f"{name}: {value}" for name, value in ready.facts)
    return Fact("fault" if ready.reason else "ok", label, dict(ready.facts).get("Rules", ""), detail)
