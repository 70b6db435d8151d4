"""One vulnerability database, one set of rules, and the same settings on all machines that scan.

The rows of ``FleetVersion`` say which. Before it takes a scan or a re-match, each machine makes sure that it has
exactly these, and fetches what it lacks from PostgreSQL. A machine that cannot have them, or whose keys or settings are
others, takes none and says so on the page Engines; the others do the work. On SQLite, which means one machine, none of
this is done.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress

from django.conf import settings
from django.db import DatabaseError, InterfaceError, connection
from django.utils.translation import gettext as _

from console.jobs import heartbeat
from console.jobs.errors import Draining, JobFailure
from console.machines import content, report, versions
from console.machines.identity import is_shared, machine_id
from console.machines.models import FleetVersion
from scanning import scanners
from scanning.fleet.fetch_lock import NotReadyError, copying, one_at_a_time
from scanning.fleet.settings import check_settings, differing_keys, keys_error, own_settings
from scanning.rules import team as rules_team
from scanning.rules.team import RULES
from scanning.vulndb import install as vulndb_install
from scanning.vulndb.archive import DATABASE

log = logging.getLogger(__name__)

FETCH_SECONDS = 900.0  # one machine's time for all it lacks
ENGINE_SECONDS = 15.0  # what the engines have said of themselves holds for so long
STORE_ERRORS = (DatabaseError, InterfaceError)  # of PostgreSQL
Versions = Mapping[str, FleetVersion]


class _Memory:
    """What this process knows: whether it was ready last time, what its engines have said, who fetches beside it."""

    ready: bool | None = None
    fault: NotReadyError | None = None
    asked_at = 0.0
    fetching: threading.Thread | None = None


_memory = _Memory()


def may_take() -> bool:
    """Whether this machine may take a scan or a re-match now, after it was brought up to date where it was not."""
    if not is_shared():
        return True
    try:
        bring(check=_while_working)
        _check_engines()
    except Draining:
        return False
    except JobFailure as error:
        if _memory.ready is not False:
            log.warning("This machine takes no scans: %s %s", error.reason, error.remedy)
        _memory.ready = False
        with suppress(*STORE_ERRORS):
            _report(error)
        return False
    except STORE_ERRORS as error:  # PostgreSQL is away, or a statement of it failed: said by the log, and tried again
        log.warning("This machine takes no scans: the database did not answer (%s)", type(error).__name__)
        connection.close()
        _memory.ready = False
        return False
    if _memory.ready is False:
        _report()
    _memory.ready = True
    return True


def is_current() -> bool:
    """Whether this machine has the database and the rules that all machines use. True where it is the only one."""
    return not is_shared() or not _lacks(versions.current())


def bring(*, check: Callable[[], None]) -> None:
    """Have here what all machines use. Raises NotReadyError or another JobFailure, and what ``check`` raises."""
    wanted = dict(versions.current())
    check_settings(wanted.get(versions.SETTINGS))
    primary = wanted.get(versions.SETTINGS)
    if primary is not None and primary.machine == machine_id():
        wanted = _with_changes(wanted, check)
    if not _lacks(wanted):
        return
    with one_at_a_time(check) as failure:
        wanted = dict(versions.current())  # another process may have fetched it meanwhile
        if not (lacks := _lacks(wanted)):
            return
        failure.raise_again(lacks)
        _report(copying())
        try:
            _fetch(wanted, _bounded(check))
        except JobFailure as error:
            if not error.retry:
                failure.note(lacks, error)
            raise
        except OSError as error:
            raise NotReadyError(
                _("The data folder of this machine cannot be written: %(reason)s.") % {"reason": error.strerror},
                _("Check that %(folder)s has space and is writable.") % {"folder": settings.DATA_DIR},
            ) from error
    _report()


def tick() -> None:
    """Report this machine, and have it fetch what it lacks; for the worker's own round, which waits for nothing.

    Within a cluster it does nothing: each machine has one worker above its clusters.
    """
    if not is_shared() or heartbeat.is_cluster():
        return
    content.prune()
    report.prune()
    if _memory.fetching is None or not _memory.fetching.is_alive():
        _memory.fetching = threading.Thread(target=_fetch_apart, name="fetch", daemon=True)
        _memory.fetching.start()


def wrong_keys() -> str:
    """Return why this machine must not work any job, since its keys are not those of the primary machine; else ""."""
    if not is_shared():
        return ""
    primary = _settle()
    if primary.machine == machine_id() or not (wrong := differing_keys(primary)):
        return ""
    error = keys_error(wrong, primary)
    _report(error)
    return f"{error.reason} {error.remedy}"


def make_primary() -> None:
    """Have the settings and rules of this machine be those of all. Raises JobFailure."""
    versions.settle_primary(own_settings(), serves=settings.SERVES, take=True)
    rules_team.publish_changes(versions.current().get(RULES), check=lambda: None)


def _settle() -> FleetVersion:
    return versions.settle_primary(own_settings(), serves=settings.SERVES)


def _fetch_apart() -> None:
    """Bring this machine up to date, in a thread of its own, and report it."""
    try:
        bring(check=lambda: None)
        _check_engines()
        _report()
    except JobFailure as error:
        _report(error)
    except Exception:
        log.exception("This machine could not be brought up to date")
    finally:
        connection.close()


def _with_changes(wanted: dict[str, FleetVersion], check: Callable[[], None]) -> dict[str, FleetVersion]:
    """Publish what has changed on this machine, the primary one."""
    if rules := rules_team.publish_changes(wanted.get(RULES), check=check):
        wanted[RULES] = rules
    return wanted


def _lacks(wanted: Versions) -> str:
    """Return which versions this machine must fetch or give, "" where it has all. As a text that differs with them."""
    lacks = []
    if found := wanted.get(DATABASE):
        if vulndb_install.shared_sha256() != found.sha256:
            lacks.append(f"{DATABASE} {found.sha256} {found.file_id}")
    elif vulndb_install.current() is not None:
        lacks.append(f"{DATABASE} unpublished")
    if (rules := wanted.get(RULES)) and rules_team.shared_sha256() != rules.sha256:
        lacks.append(f"{RULES} {rules.sha256} {rules.file_id}")
    return ", ".join(lacks)


def _fetch(wanted: Versions, check: Callable[[], None]) -> None:
    found = wanted.get(DATABASE)
    if found is None:
        if vulndb_install.current() is not None:  # of the time before there was a second machine
            vulndb_install.publish_current(check=check)
    elif found.file is not None and vulndb_install.shared_sha256() != found.sha256:
        vulndb_install.install_shared(found.file, check=check)
        log.info("The vulnerability database %s is here, from %s", found.version, found.host)
    rules = wanted.get(RULES)
    if rules is not None and rules.file is not None and rules_team.shared_sha256() != rules.sha256:
        rules_team.install_shared(rules.file, check=check)
        log.info("The rules of the team are here, from %s", rules.host)


def _bounded(check: Callable[[], None]) -> Callable[[], None]:
    ends = time.monotonic() + FETCH_SECONDS

    def bounded() -> None:
        check()
        if time.monotonic() > ends:
            raise NotReadyError(
                _("Copying the vulnerability database to this machine took more than %(n)s minutes.")
                % {"n": int(FETCH_SECONDS // 60)},
                _("Check the connection between this machine and PostgreSQL."),
            )

    return bounded


def _while_working() -> None:
    heartbeat.show_life()
    if heartbeat.draining():
        raise Draining


def _check_engines() -> None:
    """Raise NotReadyError where an engine does not work here while another machine can do the work."""
    if _memory.asked_at and time.monotonic() - _memory.asked_at < ENGINE_SECONDS:
        if _memory.fault is not None:
            raise _memory.fault
        return
    antivirus = scanners.clamav()
    asked = [scanners.trivy().ready(), scanners.yara().ready(), *([antivirus.ready()] if antivirus else [])]
    broken = next((readiness for readiness in asked if not readiness.ready), None)
    _memory.fault = None
    if broken is not None and report.others_ready():
        _memory.fault = NotReadyError(broken.reason, broken.remedy)
    _memory.asked_at = time.monotonic()
    if _memory.fault is not None:
        raise _memory.fault


def _report(error: JobFailure | None = None) -> None:
    """Write down how this machine is now."""
    facts = vulndb_install.current()
    known = {
        **{name: value for name, value in own_settings().items() if name != "keys"},
        "trivy_sha256": dict(scanners.trivy().ready().facts).get("SHA-256", ""),
        "database": facts.version if facts else "",
        "database_sha256": vulndb_install.shared_sha256(),
        "rules_sha256": rules_team.shared_sha256(),
    }
    report.report(
        ready=error is None,
        reason=error.reason if error else "",
        remedy=error.remedy if error else "",
        versions=known,
    )
