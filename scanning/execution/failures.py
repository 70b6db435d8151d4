"""What follows when an image could not be analyzed: the scan waits, asks another registry, or fails."""

from __future__ import annotations

from datetime import timedelta

from django.utils import timezone

from console.db.clock import database_now, to_database_time
from console.i18n.message_codes import ExplainedError
from console.jobs.errors import JobFailure
from console.jobs.job_run import JobRun
from registries.models import Registry
from registries.models.registry import IS_REFUSED
from registries.oci.errors import AccountLocked, CredentialsRefused, RateLimited, RegistryError, Unreachable
from scanning.execution import messages
from scanning.execution.failover import fail_over, fail_over_while_waiting
from scanning.layers import LayerError, StoreFull
from scanning.models import Scan
from scanning.runs import refused_credentials

MAX_REGISTRY_PAUSE = timedelta(hours=24)  # that a registry may ask for
STORE_FULL_PAUSE = timedelta(seconds=15)  # before a scan asks again for room that others hold


def is_retriable(error: ExplainedError, scan: Scan) -> bool:
    """Whether another try at the scan may help; there is one."""
    return error.retry and not scan.retried


def handle_failure(run: JobRun[Scan], error: RegistryError | LayerError | JobFailure) -> None:
    """Raise Postponed if the scan goes on later or by another registry; return if it fails with ``error``.

    To be called with nothing in hand: others may take the scan at once.
    """
    if isinstance(error, RateLimited):
        _wait_for_registry(run, error)
    elif isinstance(error, CredentialsRefused):
        _wait_for_credentials(run, error)
    elif isinstance(error, StoreFull):  # no fault of the registry
        if error.waits:
            run.postpone(until=database_now() + STORE_FULL_PAUSE, reason=messages.WAITING_FOR_SPACE())
    else:
        if isinstance(error, Unreachable) and run.job.registry:
            run.job.registry.mark_slow()
        fail_over(run, error)


def _wait_for_registry(run: JobRun[Scan], error: RateLimited) -> None:
    """Wait as long as the registry asks for, if that can be; its slot goes to another registry meanwhile."""
    if error.retry_at is None or error.retry_at > timezone.now() + MAX_REGISTRY_PAUSE:
        return
    registry, until = run.job.registry, to_database_time(error.retry_at)
    if isinstance(error, AccountLocked) and registry is not None:
        refused_credentials.postpone_queued(registry, until=until, reason=error.reason)
    fail_over_while_waiting(run, until=until)
    run.postpone(until=until, reason=error.reason)


def _wait_for_credentials(run: JobRun[Scan], error: CredentialsRefused) -> None:
    """Wait until somebody gives the registry other credentials."""
    fail_over(run, error)
    registry = run.job.registry
    if registry is None or not Registry.objects.filter(IS_REFUSED, pk=registry.pk).exists():
        return  # nothing would keep it from being tried again
    refused_credentials.mark_waiting(registry)
    run.postpone(until=database_now(), reason=refused_credentials.WAITING_REASON)
