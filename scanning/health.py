"""What scanning adds to the health of the console; ``settings.HEALTH`` names these functions."""

from __future__ import annotations

from collections.abc import Iterable

from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from console.health import Fact, Notice
from scanning import database, installed

OLD_DAYS = 7  # the public database is built several times a day


def vulnerability_database() -> Iterable[Fact]:
    """Tell how old the vulnerability database is, and whether it is a real one."""
    label = _("Vulnerability database")
    facts = database.current()
    if facts is None:
        text = _("No vulnerabilities can be found. Download it with “manage.py update_vulnerability_db”.")
        notice = Notice("fault", _("There is no vulnerability database"), text)
        return [Fact("fault", label, _("none"), notice=notice)]
    if facts.is_demo:
        text = _("It knows a few vulnerabilities of the sample images; other images look safer than they are.")
        notice = Notice("", _("The demo vulnerability database is in use"), text)
        return [Fact("ok", label, _("demo"), notice=notice)]
    days = facts.age_days()
    hours = int((timezone.now() - facts.built_at).total_seconds() // 3600)
    age = _("%(n)d d") % {"n": days} if days else _("%(n)d h") % {"n": max(0, hours)}
    built = _("Built %(at)s UTC") % {"at": f"{facts.built_at:%Y-%m-%d %H:%M}"}
    if days <= OLD_DAYS:
        return [Fact("ok", label, age, built)]
    title = ngettext(
        "The vulnerability database is %(n)d day old", "The vulnerability database is %(n)d days old", days
    ) % {"n": days}
    notice = Notice(
        "fault", title, _("What was published since is not found. Update it with “manage.py update_vulnerability_db”.")
    )
    return [Fact("fault", label, age, built, notice)]


def malware_rules() -> Iterable[Fact]:
    """Tell whether the rules for viruses and trojans can be used."""
    readiness = installed.yara().ready()
    label = _("Malware rules")
    if readiness.ready:
        return [Fact("ok", label, _("ready"), readiness.version)]
    notice = Notice("fault", _("Viruses and trojans cannot be looked for"), f"{readiness.reason} {readiness.remedy}")
    return [Fact("fault", label, _("not usable"), readiness.reason, notice)]
