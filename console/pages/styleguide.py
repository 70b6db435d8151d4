"""The page of components: each part of the console in each of its states, for who builds on it."""

from __future__ import annotations

from datetime import timedelta
from types import SimpleNamespace
from typing import Any

from django import forms
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.http import require_GET

from console.accounts.permissions import signed_in_user

EXAMPLE_DIGEST = "sha256:" + "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
EXAMPLE_COUNTS = {"critical": 4, "high": 1234, "medium": 56, "low": 0, "unknown": 2, "malware": 1, "sensitive": 3}
FULL_COVERAGE = {f"{name}_coverage": "done" for name in ("vulnerabilities", "malware", "sensitive")}
ICONS = (
    *("alert", "audit", "bug", "calendar", "check", "clock", "columns", "copy", "done", "down", "download", "edit"),
    *("external", "eye", "fail", "file", "filter", "fix", "grip", "half", "help", "images", "info", "jobs", "key"),
    *(
        "layers",
        "left",
        "lock",
        "moon",
        "more",
        "package",
        "plus",
        "registry",
        "right",
        "ring",
        "save",
        "scan",
        "search",
    ),
    *("shield", "stop", "sun", "sync", "system", "todo", "trash", "up", "users", "x"),
)


class ExampleForm(forms.Form):
    """Fields of each kind; one of them is filled in wrongly."""

    name = forms.CharField(label="Instance name", help_text="Unique among all registries.")
    address = forms.URLField(label="Address", assume_scheme="https")
    limit = forms.ChoiceField(label="Limit", choices=[("10", "10 an hour"), ("", "Unlimited")], required=False)


def example_image(state: str, **fields: Any) -> SimpleNamespace:
    """Return something shaped like an image, as the tags of ``ui`` take it."""
    empty = dict.fromkeys((*EXAMPLE_COUNTS, "scan_percent", "scan_started_at", "resumes_at"), None)
    words = {"scan_state": state, "scan_stage": "", "reason": "", "security": "not-known"}
    return SimpleNamespace(**{**empty, **words} | fields)


@require_GET
def styleguide(request: HttpRequest) -> HttpResponse:
    """The page; staff alone."""
    if not signed_in_user(request).is_staff:
        raise PermissionDenied
    now = timezone.now()
    context = {
        "states": [
            example_image("not-scanned"),
            example_image("queued", reason="waiting for the hourly limit, 12 min"),
            example_image("running", scan_stage="pulling", scan_percent=40, scan_started_at=now - timedelta(minutes=3)),
            example_image("scanned"),
            example_image("failed", reason="The layer is gone (404)."),
            example_image("cancelled"),
        ],
        "risks": [
            example_image("scanned", security="at-risk", **EXAMPLE_COUNTS, **FULL_COVERAGE),
            example_image("scanned", security="safe", **dict.fromkeys(EXAMPLE_COUNTS, 0), **FULL_COVERAGE),
            example_image(
                "scanned",
                security="at-risk",
                **EXAMPLE_COUNTS | {"malware": None},
                **FULL_COVERAGE | {"malware_coverage": ""},
            ),
            example_image(
                "scanned", security="partly-scanned", **dict.fromkeys(EXAMPLE_COUNTS, 0), sensitive_coverage="partial"
            ),
            example_image("running"),
            example_image("not-scanned"),
        ],
        "toast_links": [{"text": "Scan run", "href": "#notes"}, {"text": "platform/ledger:1.4.2", "href": "#notes"}],
        "digest": EXAMPLE_DIGEST,
        "times": [
            now - timedelta(minutes=12),
            now - timedelta(hours=5),
            now - timedelta(days=40),
            now + timedelta(hours=2),
        ],
        "sizes": [512, 3_400_000, 12_884_901_888],
        "form": ExampleForm({"name": "lab", "address": "not an address", "limit": "10"}),
        "icons": ICONS,
        "severities": ["critical", "high", "medium", "low", "unknown", "zero"],
        "swatches": ["critical", "high", "medium", "low", "unknown", "done", "fault", "wait"],
        "long_name": "registry.example.com/platform/payments/services/settlement/ledger-reconciliation-worker",
    }
    return render(request, "console/styleguide.html", context)
