"""What a person is told when scans have started: how many, what was left out and why, and where to look at both."""

from __future__ import annotations

from collections.abc import Sequence

from django.contrib import messages
from django.http import HttpRequest
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from console.feedback import toasts
from console.i18n.messages import translate_message
from scanning.models import ScanRun
from scanning.runs.enqueue import ALREADY_SCANNING, SkippedTag

MAX_ADDRESS_CHARACTERS = 80  # characters of an address; a header of the answer holds them all
MAX_NAMED_TAGS = 3  # skipped images with a link each; of more, one leads to all of them


def report_start(request: HttpRequest, run: ScanRun, *, skipped: Sequence[SkippedTag] = ()) -> None:
    """Tell what a start of ``run`` came to so far, with links to the run and to what was ``skipped`` of it."""
    here = toasts.ToastLink(text=_("Scan run"), href=reverse("scanning:run", args=[run.pk]))
    if not run.is_final:
        text = _("The scan has started; its images are being queued.")
        toasts.add_toast(request, messages.SUCCESS, text, links=[here])
        return
    text = ngettext("%(n)s scan queued", "%(n)s scans queued", run.images) % {"n": f"{run.images:,}"}
    if run.tags > run.images:
        text += " " + _("for %(n)s tags") % {"n": f"{run.tags:,}"}
    if run.skipped:
        why = "; ".join(map(translate_message, run.skipped))
        text += ", " + _("%(n)s skipped") % {"n": f"{run.skipped_tags:,}"} + f" ({why})"
    level = messages.SUCCESS if run.images else messages.WARNING
    toasts.add_toast(request, level, text, links=[here, *_links(run, skipped)])


def _links(run: ScanRun, skipped: Sequence[SkippedTag]) -> list[toasts.ToastLink]:
    if not run.skipped:
        return []
    if 0 < len(skipped) <= MAX_NAMED_TAGS:
        return [
            toasts.ToastLink(text=_address_end(one.address), href=reverse("inventory:image", args=[one.tag_id]))
            for one in skipped
        ]
    left_out = f"{reverse('scanning:run', args=[run.pk])}#skipped-title"
    found = [toasts.ToastLink(text=_("What was skipped"), href=left_out)]
    if ALREADY_SCANNING in run.skipped:
        scanning = f"{reverse('inventory:image-list')}?status=scanning"
        found.append(toasts.ToastLink(text=_("Images that are being scanned"), href=scanning))
    return found


def _address_end(address: str) -> str:
    """Return the end of a long address: what tells it from others."""
    return address if len(address) <= MAX_ADDRESS_CHARACTERS else f"…{address[1 - MAX_ADDRESS_CHARACTERS :]}"
