"""Discoveries: looking for the registries of cloud accounts, as jobs, by hand and every night."""

from __future__ import annotations

from collections.abc import Iterable

from django.db import IntegrityError, transaction
from django.db.models import Q
from django.http import HttpRequest
from django.utils import timezone

from console.accounts.permissions import signed_in_user
from console.audit import trail
from console.db.clock import database_now
from console.jobs.broker import enqueue
from console.jobs.errors import JobFailure
from console.jobs.job_run import JobRun
from console.models import User
from registries.cloud_accounts import messages
from registries.cloud_accounts.tencent import list_cloud_registries, reconcile
from registries.credential_encryption import SecretUnreadableError
from registries.login_guard import record_refusal
from registries.models import CloudAccount, CloudDiscovery, Registry, SyncRun
from registries.oci.errors import CredentialsRefused, RegistryError
from registries.sync_requests.nightly import WINDOW_CLOSES, WINDOW_OPENS
from registries.sync_requests.start import LANE_BY_TRIGGER, start_sync

DISCOVERY_SECONDS = 600.0  # that the listing of one account may take; meanwhile other accounts wait


def request_discoveries(
    accounts: Iterable[CloudAccount],
    *,
    requested_by: User | HttpRequest | None = None,
    trigger: SyncRun.Trigger = SyncRun.Trigger.MANUAL,
) -> list[CloudDiscovery]:
    """Queue a discovery by each of ``accounts`` that has none queued or running; return those queued.

    Each that is queued is one event of the audit trail, for it uses the key of the account.
    """
    user = signed_in_user(requested_by) if isinstance(requested_by, HttpRequest) else requested_by
    queued = []
    for account in accounts:
        try:
            with transaction.atomic():
                job = CloudDiscovery.objects.create(
                    account=account, requested_by=user, trigger=trigger, priority=LANE_BY_TRIGGER[trigger]
                )
                enqueue(job)
                trail.record(requested_by, "cloud-account.discover", account, {"by": trigger.value})
        except IntegrityError:  # clouddiscovery_one_at_a_time
            continue
        queued.append(job)
    return queued


def enqueue_due_discoveries() -> None:
    """Queue this night's discovery by each account, as soon as the window of the nightly syncs opens.

    To be called with every tick: one UPDATE claims the night of an account, so it has one however often that is.
    """
    now = timezone.localtime(database_now(), timezone.get_default_timezone())
    if not WINDOW_OPENS <= now.time() < WINDOW_CLOSES:
        return
    waiting = Q(nightly_on__isnull=True) | Q(nightly_on__lt=now.date())
    for account in CloudAccount.objects.filter(waiting):
        with transaction.atomic():  # a crash in between loses no night
            if CloudAccount.objects.filter(waiting, pk=account.pk).update(nightly_on=now.date()):
                request_discoveries([account], trigger=SyncRun.Trigger.NIGHTLY)


def discover(run: JobRun[CloudDiscovery]) -> None:
    """Do the discovery ``run``: list all, then write all at once and queue the first syncs of what is new.

    Raises JobFailure, SecretUnreadableError and RegistryError; the registries stay as they were then.
    """
    account = run.job.account
    if account.credentials_refused:
        raise JobFailure(messages.KEY_REFUSED(), messages.TYPE_SECRET_KEY_AGAIN())
    run.set_deadline(
        DISCOVERY_SECONDS,
        reason=messages.LISTING_TOO_SLOW(n=DISCOVERY_SECONDS),
        remedy=messages.TRY_LATER_OR_CHECK_PROXY(),
    )
    run.progress(messages.LISTING_REGISTRIES())
    try:
        found = list_cloud_registries(account, check=run.check)
    except CredentialsRefused as error:
        account.record(state=Registry.Connection.REFUSED, reason=error.reason, remedy=error.remedy)
        for registry in account.registries.filter(username=account.secret_id):  # nor is it tried there
            record_refusal(registry, error)
        raise
    except (RegistryError, SecretUnreadableError) as error:
        account.record(state=Registry.Connection.FAILED, reason=error.reason, remedy=error.remedy)
        raise

    def write() -> None:
        fresh = CloudAccount.objects.get(pk=account.pk)
        made = reconcile(fresh, found)
        start_sync(registries=made, requested_by=run.job.requested_by, trigger=SyncRun.Trigger(run.job.trigger))

    run.finish(write=write)
