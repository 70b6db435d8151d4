"""What scanning adds to the health of the console; scanning.registration adds these functions."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as Late

from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from console.i18n.lists import listed
from console.i18n.message_codes import sentences
from console.i18n.messages import translate_message
from console.machines import report
from console.machines.identity import has_shared_database
from console.server.health import Fact, Notice
from scanning import configured_engines
from scanning.engines.base import Readiness
from scanning.engines.clamav.engine import ClamAv
from scanning.vulndb import install as vulndb_install

VULNDB_OLD_DAYS = 7  # the public database is built several times a day
CLAMD_STATUS_SECONDS = 30.0  # what clamd has said holds for so long
CLAMD_WAIT_SECONDS = 0.3  # seconds that a page waits for clamd, which may be on another machine


def vulnerability_database() -> Iterable[Fact]:
    """Tell how old the vulnerability database is, and whether it is a real one."""
    label = _("Vulnerability database")
    facts = vulndb_install.current_facts()
    if facts is None:
        text = _("No vulnerabilities can be found until an administrator downloads one.")
        notice = Notice("fault", _("There is no vulnerability database"), text, **_engines_link())
        return [Fact("fault", label, _("none"), notice=notice)]
    if facts.is_demo:
        text = _("It contains a few vulnerabilities of the sample images; other images look safer than they are.")
        notice = Notice("", _("The demo vulnerability database is in use"), text)
        return [Fact("ok", label, _("demo"), notice=notice)]
    days = facts.age_days()
    hours = int((timezone.now() - facts.built_at).total_seconds() // 3600)
    age = _("%(n)d d") % {"n": days} if days else _("%(n)d h") % {"n": max(0, hours)}
    built = _("Built %(at)s UTC") % {"at": f"{facts.built_at:%Y-%m-%d %H:%M}"}
    if days <= VULNDB_OLD_DAYS:
        return [Fact("ok", label, age, built)]
    title = ngettext(
        "The vulnerability database is %(n)d day old", "The vulnerability database is %(n)d days old", days
    ) % {"n": days}
    text = _("Vulnerabilities published since then are not found until an administrator updates it.")
    notice = Notice("fault", title, text, **_engines_link())
    return [Fact("fault", label, age, built, notice)]


def _engines_link() -> dict[str, str]:
    return {"url": reverse("scanning:engines"), "link": _("Scanners")}


def malware_rules() -> Iterable[Fact]:
    """Tell whether the rules for viruses and trojans can be used."""
    readiness = configured_engines.yara().ready()
    label = _("Malware rules")
    if readiness.ready:
        return [Fact("ok", label, _("ready"), readiness.version)]
    why = translate_message(sentences(readiness.reason, readiness.remedy))
    notice = Notice("fault", _("Scanning for viruses and trojans is not possible"), why, **_engines_link())
    return [Fact("fault", label, _("not usable"), translate_message(readiness.reason), notice)]


def machines() -> Iterable[Fact]:
    """Tell whether all machines take scans, where there are several or PostgreSQL allows for them."""
    if not has_shared_database():
        return []
    rows = list(report.recent_machines())
    since = timezone.now() - report.OFFLINE_AFTER
    present = [row for row in rows if row.last_seen >= since]
    idle = [row for row in present if not row.ready]
    if len(rows) < 2 and not idle:
        return []
    label, value = _("Machines"), _("%(n)d of %(all)d") % {"n": len(present) - len(idle), "all": len(rows)}
    if len(present) == len(rows) and not idle:
        return [Fact("ok", label, value, _("All accept scans."))]
    if not idle:
        away = listed([row.host for row in rows if row.last_seen < since])
        return [Fact("fault", label, value, _("No report for a while: %(hosts)s.") % {"hosts": away})]
    first = idle[0]
    title = _("%(host)s accepts no scans") % {"host": first.host}
    why = translate_message(sentences(first.reason, first.remedy))
    return [
        Fact("fault", label, value, translate_message(first.reason), Notice("fault", title, why, **_engines_link()))
    ]


class EngineStatusCache:
    """What an engine that lies elsewhere has said of itself: asked beside the pages, which wait for a moment alone."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._engine: ClamAv | None = None
        self._readiness: Readiness | None = None
        self._pending: Future[Readiness] | None = None
        self._at = 0.0

    def ready(self, engine: ClamAv) -> Readiness | None:
        """Return what ``engine`` has said last, None where it has said nothing yet."""
        with self._lock:
            if engine is not self._engine:
                self._engine, self._readiness, self._pending = engine, None, None
            if self._pending is None and (
                self._readiness is None or time.monotonic() - self._at >= CLAMD_STATUS_SECONDS
            ):
                pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix="clamd")
                self._pending = pool.submit(engine.ready)
                pool.shutdown(wait=False)
            pending = self._pending
        if pending is not None:
            try:
                readiness_now = pending.result(timeout=CLAMD_WAIT_SECONDS)
            except Late:
                return self._readiness
            with self._lock:
                if pending is self._pending:
                    self._readiness, self._pending, self._at = readiness_now, None, time.monotonic()
        return self._readiness


_clamd_status = EngineStatusCache()


def antivirus() -> Iterable[Fact]:
    """Tell whether ClamAV can be used, where it is configured."""
    engine = configured_engines.clamav()
    if engine is None:
        return []
    readiness = _clamd_status.ready(engine)
    if readiness is None:
        return [Fact("fault", "ClamAV", _("does not respond"), _("No response yet."))]
    why, text = translate_message(readiness.reason), translate_message(sentences(readiness.reason, readiness.remedy))
    if not readiness.ready:
        notice = Notice("fault", _("Scanning for viruses and trojans is not possible"), text, **_engines_link())
        return [Fact("fault", "ClamAV", _("not ready"), why, notice)]
    if readiness.reason:
        return [
            Fact(
                "fault",
                "ClamAV",
                _("old"),
                why,
                Notice("fault", _("The signatures of ClamAV are old"), text, **_engines_link()),
            )
        ]
    return [Fact("ok", "ClamAV", _("ready"), readiness.version)]
