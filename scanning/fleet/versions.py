"""One vulnerability database, one set of rules, and the same settings on all machines that scan.

The rows of ``FleetVersion`` say which. Before it takes a scan or a re-match, each machine makes sure that it has
exactly these, and fetches what it lacks from PostgreSQL. A machine that cannot have them, or whose keys or settings are
others, takes none and says so on the page Scanners; the others do the work. On SQLite, which means one machine, none of
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

from console import visibility
from console.i18n.message_codes import NOTHING
from console.jobs import heartbeat
from console.jobs.errors import Draining, JobFailure
from console.machines import content, report, versions
from console.machines.identity import has_shared_database, machine_id
from console.machines.models import FleetVersion
from scanning import configured_engines
from scanning.fleet import messages
from scanning.fleet.fetch_lock import NotReadyError, copying_error, hold_fetch_lock
from scanning.fleet.settings import check_settings, differing_keys, keys_error, own_settings
from scanning.rules import team as rules_team
from scanning.rules.team import RULES_VERSION_NAME
from scanning.vulndb import install as vulndb_install
from scanning.vulndb.archive import VULNDB_VERSION_NAME

log = logging.getLogger(__name__)

FETCH_TIMEOUT_SECONDS = 900.0  # one machine's time for all it lacks
ENGINE_CHECK_SECONDS = 15.0  # what the engines have said of themselves holds for so long
STORE_ERRORS = (DatabaseError, InterfaceError)  # of PostgreSQL
Versions = Mapping[str, FleetVersion]


class _ProcessState:
    """What this process knows: whether it was ready last time, what its engines have said, who fetches beside it."""

    ready: bool | None = None
    fault: NotReadyError | None = None
    checked_at = 0.0
    fetching: threading.Thread | None = None


_process_state = _ProcessState()


def may_take_jobs() -> bool:
    """Whether this machine may take a scan or a re-match now, after it was brought up to date where it was not."""
    if not has_shared_database():
        return True
    try:
        update_machine(check=_check_draining)
        _check_engines()
    except Draining:
        return False
    except JobFailure as error:
        if _process_state.ready is not False:
            log.warning("This machine accepts no scans: %s %s", error.reason, error.remedy)
        _process_state.ready = False
        with suppress(*STORE_ERRORS):
            _report(error)
        return False
    except STORE_ERRORS as error:  # PostgreSQL is away, or a statement of it failed: said by the log, and tried again
        log.warning("This machine accepts no scans: the database did not respond (%s)", type(error).__name__)
        connection.close()
        _process_state.ready = False
        return False
    if _process_state.ready is False:
        _report()
    _process_state.ready = True
    return True


def is_current() -> bool:
    """Whether this machine has the database and the rules that all machines use. True where it is the only one."""
    return not has_shared_database() or not _missing_versions(versions.current())


def update_machine(*, check: Callable[[], None]) -> None:
    """Have here what all machines use. Raises NotReadyError or another JobFailure, and what ``check`` raises."""
    wanted = dict(versions.current())
    check_settings(wanted.get(versions.SETTINGS_NAME))
    primary = wanted.get(versions.SETTINGS_NAME)
    if primary is not None and primary.machine == machine_id():
        wanted = _publish_changes(wanted, check)
    if not _missing_versions(wanted):
        return
    with hold_fetch_lock(check) as failure:
        wanted = dict(versions.current())  # another process may have fetched it meanwhile
        if not (missing := _missing_versions(wanted)):
            return
        failure.raise_if_recent(missing)
        _report(copying_error())
        try:
            _fetch(wanted, _bounded(check))
        except JobFailure as error:
            if not error.retry:
                failure.note(missing, error)
            raise
        except OSError as error:
            raise NotReadyError(
                messages.FOLDER_NOT_WRITABLE(reason=error.strerror),
                messages.CHECK_FOLDER(folder=settings.DATA_DIR),
            ) from error
    _report()


def tick() -> None:
    """Report this machine, and have it fetch what it lacks; for the worker's own round, which waits for nothing.

    Within a cluster it does nothing: each machine has one worker above its clusters.
    """
    if not has_shared_database() or heartbeat.is_cluster():
        return
    content.prune()
    report.prune()
    if _process_state.fetching is None or not _process_state.fetching.is_alive():
        _process_state.fetching = threading.Thread(
            target=visibility.carried(_fetch_in_background), name="fetch", daemon=True
        )
        _process_state.fetching.start()


def wrong_keys() -> str:
    """Return why this machine must not work any job, since its keys are not those of the primary machine; else ""."""
    if not has_shared_database():
        return ""
    primary = _settle_primary()
    if primary.machine == machine_id() or not (wrong := differing_keys(primary)):
        return ""
    error = keys_error(wrong, primary)
    _report(error)
    return f"{error.reason} {error.remedy}"


def make_primary() -> None:
    """Have the settings and rules of this machine be those of all. Raises JobFailure."""
    versions.settle_primary(own_settings(), serves=settings.SERVES, take=True)
    rules_team.publish_changes(versions.current().get(RULES_VERSION_NAME), check=lambda: None)


def _settle_primary() -> FleetVersion:
    return versions.settle_primary(own_settings(), serves=settings.SERVES)


def _fetch_in_background() -> None:
    """Bring this machine up to date, in a thread of its own, and report it."""
    try:
        update_machine(check=lambda: None)
        _check_engines()
        _report()
    except JobFailure as error:
        _report(error)
    except Exception:
        log.exception("This machine could not be updated")
    finally:
        connection.close()


def _publish_changes(wanted: dict[str, FleetVersion], check: Callable[[], None]) -> dict[str, FleetVersion]:
    """Publish what has changed on this machine, the primary one."""
    if rules := rules_team.publish_changes(wanted.get(RULES_VERSION_NAME), check=check):
        wanted[RULES_VERSION_NAME] = rules
    return wanted


def _missing_versions(wanted: Versions) -> str:
    """Return which versions this machine must fetch or give, "" where it has all. As a text that differs with them."""
    missing = []
    if found := wanted.get(VULNDB_VERSION_NAME):
        if vulndb_install.shared_sha256() != found.sha256:
            missing.append(f"{VULNDB_VERSION_NAME} {found.sha256} {found.file_id}")
    elif vulndb_install.current_facts() is not None:
        missing.append(f"{VULNDB_VERSION_NAME} unpublished")
    if (rules := wanted.get(RULES_VERSION_NAME)) and rules_team.shared_sha256() != rules.sha256:
        missing.append(f"{RULES_VERSION_NAME} {rules.sha256} {rules.file_id}")
    return ", ".join(missing)


def _fetch(wanted: Versions, check: Callable[[], None]) -> None:
    found = wanted.get(VULNDB_VERSION_NAME)
    if found is None:
        if vulndb_install.current_facts() is not None:  # of the time before there was a second machine
            vulndb_install.publish_current(check=check)
    elif found.file is not None and vulndb_install.shared_sha256() != found.sha256:
        vulndb_install.install_shared(found.file, check=check)
        log.info("Copied the vulnerability database %s from %s", found.version, found.host)
    rules = wanted.get(RULES_VERSION_NAME)
    if rules is not None and rules.file is not None and rules_team.shared_sha256() != rules.sha256:
        rules_team.install_shared(rules.file, check=check)
        log.info("Copied the rules of the team from %s", rules.host)


def _bounded(check: Callable[[], None]) -> Callable[[], None]:
    ends = time.monotonic() + FETCH_TIMEOUT_SECONDS

    def bounded() -> None:
        check()
        if time.monotonic() > ends:
            raise NotReadyError(
                messages.COPY_TOO_SLOW(n=int(FETCH_TIMEOUT_SECONDS // 60)),
                messages.CHECK_CONNECTION(),
            )

    return bounded


def _check_draining() -> None:
    heartbeat.report_alive()
    if heartbeat.is_draining():
        raise Draining


def _check_engines() -> None:
    """Raise NotReadyError where an engine does not work here while another machine can do the work."""
    if _process_state.checked_at and time.monotonic() - _process_state.checked_at < ENGINE_CHECK_SECONDS:
        if _process_state.fault is not None:
            raise _process_state.fault
        return
    antivirus = configured_engines.clamav()
    readinesses = [
        configured_engines.trivy().ready(),
        configured_engines.yara().ready(),
        *([antivirus.ready()] if antivirus else []),
    ]
    broken = next((readiness for readiness in readinesses if not readiness.ready), None)
    _process_state.fault = None
    if broken is not None and report.another_is_ready():
        _process_state.fault = NotReadyError(broken.reason, broken.remedy)
    _process_state.checked_at = time.monotonic()
    if _process_state.fault is not None:
        raise _process_state.fault


def _report(error: JobFailure | None = None) -> None:
    """Write down how this machine is now."""
    facts = vulndb_install.current_facts()
    known = {
        **{name: value for name, value in own_settings().items() if name != "keys"},
        "trivy_sha256": dict(configured_engines.trivy().ready().facts).get("SHA-256", ""),
        "database": facts.version if facts else "",
        "database_sha256": vulndb_install.shared_sha256(),
        "rules_sha256": rules_team.shared_sha256(),
    }
    report.report(
        ready=error is None,
        reason=error.reason if error else NOTHING,
        remedy=error.remedy if error else NOTHING,
        versions=known,
    )
