"""The keys of Tencent Cloud: one page for all, a form for each."""

from __future__ import annotations

from django.contrib import messages
from django.db import IntegrityError, transaction
from django.db.models import Count, Prefetch, QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from console.accounts.permissions import administrator_required, operator_required
from console.audit import trail
from console.jobs.models import State
from registries.cloud_accounts.discovery import request_discoveries
from registries.cloud_accounts.tencent import delete_account, update_credentials
from registries.forms.tencent import CloudAccountForm
from registries.models import CloudAccount, CloudDiscovery

LIST_URL_NAME = "registries:tencent-account-list"


def _rows() -> QuerySet[CloudAccount]:
    """Keys with what a row shows: registries made, and the discovery in progress as ``active``."""
    return CloudAccount.objects.annotate(number=Count("registries")).prefetch_related(
        Prefetch("discoveries", CloudDiscovery.objects.filter(state__in=State.active()), to_attr="active")
    )


@require_GET
def account_list(request: HttpRequest) -> HttpResponse:
    """The page: all keys with what they have found."""
    return render(request, "registries/tencent_account_list.html", {"accounts": _rows()})


@require_http_methods(["GET", "HEAD", "POST"])
@administrator_required
def account_add(request: HttpRequest) -> HttpResponse:
    """The form that adds a key; its registries are looked for at once."""
    return _edit(request, CloudAccount())


@require_http_methods(["GET", "HEAD", "POST"])
@administrator_required
def account_edit(request: HttpRequest, pk: int) -> HttpResponse:
    """The form that changes a key, here and in the registries that were made by it."""
    return _edit(request, get_object_or_404(CloudAccount, pk=pk))


def _edit(request: HttpRequest, account: CloudAccount) -> HttpResponse:
    added, title, was, before = account.pk is None, account.name, account.secret_id, _facts(account)
    form = CloudAccountForm(request.POST or None, instance=account)
    if request.method == "POST" and form.is_valid() and (saved := _save(form, was=was)):
        action = "cloud-account.add" if added else "cloud-account.edit"
        secrets = {name: "changed" for name in ("secret_key", "pull_password") if name in form.changed_data}
        trail.record(request, action, saved, before=before, after=_facts(saved) | secrets)
        request_discoveries([saved], requested_by=request)
        messages.success(
            request, _("“%(name)s” was saved. Its registries are being discovered.") % {"name": saved.name}
        )
        return redirect(LIST_URL_NAME)
    context = {"form": form, "account": account, "title": title}
    return render(request, "registries/tencent_account_form.html", context, status=422 if form.errors else 200)


def _facts(account: CloudAccount) -> dict[str, object]:
    """Return what the audit trail keeps of a key."""
    if account._state.adding:
        return {}
    return trail.facts(account, ("name", "secret_id", "endpoint", "regions", "pull_username"))


def _save(form: CloudAccountForm, *, was: str) -> CloudAccount | None:
    """Save what the form says; None, and the form says why, where somebody else took the name just now."""
    try:
        with transaction.atomic():
            saved = form.save()
            update_credentials(saved, was=was)
            return saved
    except IntegrityError:
        form.add_error("name", _("Another key has this name."))
        return None


@require_POST
@operator_required
def account_discover(request: HttpRequest, pk: int) -> HttpResponse:
    """Look for the registries of a key now."""
    return _discover(request, get_object_or_404(CloudAccount, pk=pk))


@require_POST
@administrator_required
def account_restore(request: HttpRequest, pk: int) -> HttpResponse:
    """Add those registries again that were removed here and are still listed."""
    account = get_object_or_404(CloudAccount, pk=pk)
    CloudAccount.objects.filter(pk=pk).update(made=[])
    trail.record(request, "cloud-account.restore", account)
    return _discover(request, account)


def _discover(request: HttpRequest, account: CloudAccount) -> HttpResponse:
    if request_discoveries([account], requested_by=request):
        messages.success(request, _("The registries of “%(name)s” are being discovered.") % {"name": account.name})
    else:
        messages.info(request, _("The registries of “%(name)s” are already being discovered.") % {"name": account.name})
    return redirect(LIST_URL_NAME)


@require_http_methods(["GET", "HEAD", "POST"])
@administrator_required
def account_delete(request: HttpRequest, pk: int) -> HttpResponse:
    """Ask, then remove a key. The registries made by it stay, without credentials."""
    account = get_object_or_404(_rows(), pk=pk)
    if request.method == "POST":
        detail = {"registries": account.registries.count()}
        trail.record(request, "cloud-account.delete", account, detail, before=_facts(account))
        delete_account(account)
        messages.success(request, _("“%(name)s” was removed.") % {"name": account.name})
        return redirect(LIST_URL_NAME)
    return render(request, "registries/tencent_account_delete.html", {"account": account})
