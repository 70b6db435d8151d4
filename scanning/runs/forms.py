"""Forms of scans: what to look for, in which images, for how long."""

from __future__ import annotations

from typing import Any

from django import forms
from django.conf import settings
from django.utils.translation import gettext_lazy as _

from scanning.engines.base import RiskCategory
from scanning.models import ScanScope

CATEGORY_LABELS = {
    RiskCategory.VULNERABILITIES.value: (_("Vulnerabilities"), _("Trivy, matched with its database")),
    RiskCategory.SENSITIVE.value: (_("Sensitive data"), _("Trivy, values are masked")),
    RiskCategory.MALWARE.value: (_("Virus & Trojan"), _("YARA-X")),
}
MAX_TIMEOUT_MINUTES = 60  # the queue itself breaks work off soon after


class ScanForm(forms.Form):
    """Scanning settings. ``cleaned_data["timeout"]`` is in seconds."""

    categories = forms.MultipleChoiceField(
        choices=[(name, label) for name, (label, _help) in CATEGORY_LABELS.items()],
        error_messages={"required": _("Choose at least one risk category.")},
    )
    timeout = forms.IntegerField(
        min_value=1,
        max_value=MAX_TIMEOUT_MINUTES,
        error_messages={"required": _("Enter the timeout in minutes.")},
    )
    scope = forms.ChoiceField(choices=ScanScope.choices, error_messages={"required": _("Choose which images to scan.")})

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        first = {
            "categories": list(CATEGORY_LABELS),
            "timeout": min(MAX_TIMEOUT_MINUTES, max(1, settings.SCAN_TIMEOUT_SECONDS // 60)),
            "scope": ScanScope.RECOMMENDED.value,
        }
        kwargs["initial"] = first | (kwargs.get("initial") or {})
        super().__init__(*args, **kwargs)

    def clean_timeout(self) -> int:
        """Return the timeout in seconds; the field is in minutes."""
        minutes: int = self.cleaned_data["timeout"]
        return minutes * 60

    @property
    def tiles(self) -> list[dict[str, Any]]:
        """The risk categories with what they do and whether they are chosen."""
        chosen = self["categories"].value() or []
        return [
            {"value": name, "label": label, "help": text, "checked": name in chosen}
            for name, (label, text) in CATEGORY_LABELS.items()
        ]


class QuotaForm(forms.Form):
    """How many scans may start in a month; empty: any number."""

    monthly_quota = forms.IntegerField(
        label=_("Scans in a calendar month"),
        required=False,
        min_value=0,
        max_value=10_000_000,
        help_text=_(
            "Leave it empty for no quota. Scans above the quota are not queued; queued and started scans count."
        ),
    )
