"""Push events: the address that registries report to, and the page that sets it up."""

from __future__ import annotations

import json
import logging
from typing import Any

from django.conf import settings
from django.contrib import messages
from django.contrib.auth.decorators import login_not_required
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_http_methods, require_POST

from console import visibility
from console.accounts.permissions import administrator_required
from console.audit import trail
from registries import credential_encryption
from registries.models import PushAddress, PushEvent, Registry
from registries.webhooks.ingest import ingest_changes
from registries.webhooks.payloads import is_authentic, parse_changes
from registries.webhooks.vendor_payloads import validation_code

log = logging.getLogger(__name__)

MAX_BODY_BYTES = 1024 * 1024  # JFrog sends up to 1 MiB, the others a few KiB
SHOWN_EVENTS = 20  # last events on the page


@csrf_exempt
@login_not_required
@require_POST
@visibility.unrestricted()
def ingest_event(request: HttpRequest, key: str, secret: str = "") -> HttpResponse:  # nosec B107  # none is refused
    """Take a report of a registry: 200 with the right secret, whatever it says (Quay gives up on those that fail).

    No person is signed in: the secret admits to one registry, and the answer is a number of jobs.
    """
    body = request.read(MAX_BODY_BYTES + 1)  # the server reads no more than a few MiB of any request
    if len(body) > MAX_BODY_BYTES:
        return HttpResponse(status=413)
    address = PushAddress.objects.filter(key=key, registry__deleting_at=None).select_related("registry").first()
    if address is None:
        return HttpResponse(status=401)
    try:
        stored_secret = address.reveal_secret()
    except credential_encryption.SecretUnreadableError:
        log.warning("The secret of the %s cannot be read", address)
        return HttpResponse(status=401)
    if not is_authentic(secret=stored_secret, body=body, headers=request.headers, path_secret=secret):
        PushAddress.objects.filter(pk=address.pk).update(refused_at=timezone.now())
        return HttpResponse(status=401)
    try:
        report = json.loads(body or b"null")
        found = parse_changes(report, event_type=request.headers.get("ce-type", ""))
    except (ValueError, RecursionError):
        report = found = None
    if code := validation_code(report):  # Event Grid reports nothing before it has this back
        return JsonResponse({"validationResponse": code})
    times = {"received_at": timezone.now()}
    if found is None:
        log.info("A push event of registry %s has an unknown form", address.registry_id)
        times, found = {"not_understood_at": timezone.now()}, []
    PushAddress.objects.filter(pk=address.pk).update(**times)
    return HttpResponse(str(ingest_changes(registry=address.registry, found=found)), content_type="text/plain")


@require_http_methods(["GET", "POST"])
@administrator_required
def push_events(request: HttpRequest, pk: int) -> HttpResponse:
    """Where this registry reports pushes to, whether they are scanned, and what came last."""
    registry = get_object_or_404(Registry.objects.present(), pk=pk)
    if request.method == "POST":
        return _change(request, registry)
    return _page(request, registry)


def _change(request: HttpRequest, registry: Registry) -> HttpResponse:
    address = PushAddress.objects.filter(registry=registry).first()
    match request.POST.get("do"):
        case "make":  # also a new secret in place of the old one
            address = address or PushAddress(registry=registry)
            secret = address.new_secret()
            address.save()
            trail.record(request, "push-address.secret", registry)
            return _page(request, registry, secret=secret)
        case "scans" if address is not None:
            was, address.scans = address.scans, request.POST.get("scans") == "on"
            address.save(update_fields=["scans"])
            trail.record(request, "push-address.scans", registry, before={"scans": was}, after={"scans": address.scans})
            messages.success(
                request,
                _("Pushed images will be scanned.") if address.scans else _("Pushed images will be synced only."),
            )
        case "off" if address is not None:
            address.delete()
            trail.record(request, "push-address.off", registry)
            messages.success(request, _("Push events are off. Reports that still arrive are refused."))
    return redirect("registries:push-events", registry.pk)


def _page(request: HttpRequest, registry: Registry, *, secret: str = "") -> HttpResponse:
    address = PushAddress.objects.filter(registry=registry).first()
    context: dict[str, Any] = {"registry": registry, "address": address, "secret": secret}
    if address is not None:
        context["url"] = settings.URL + reverse("registries:receive-event", args=[address.key])
        context["events"] = PushEvent.objects.filter(registry=registry)[:SHOWN_EVENTS]
        if secret:
            path = reverse("registries:receive-event-with-secret", args=[address.key, secret])
            context["url_with_secret"] = settings.URL + path
    return render(request, "registries/push_events.html", context)
