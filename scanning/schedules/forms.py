"""The form of a scheduled scan."""

from __future__ import annotations

from datetime import date, datetime, time, timedelta
from typing import Any

from django import forms
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from registries.forms.choice import CHOICE_HELP_TEXTS, clean_patterns
from scanning.models import ScanSchedule
from scanning.runs import narrow
from scanning.runs.forms import ScanForm

MIN_TIME_RANGE = timedelta(minutes=15)  # the shortest time range
FIRST_DAY, LAST_DAY = date(2000, 1, 1), date(2099, 12, 31)


class ScheduleForm(ScanForm):
    """Scheduled scan settings of one schedule; :meth:`apply` writes them to it, unsaved."""

    name = forms.CharField(label=_("Name"), max_length=100)
    is_on = forms.BooleanField(label=_("On"), required=False)
    every_days = forms.TypedChoiceField(label=_("Frequency"), choices=ScanSchedule.Every.choices, coerce=int)
    starts_on = forms.DateField(
        label=_("First day"), widget=forms.DateInput(attrs={"type": "date", "class": "input"}, format="%Y-%m-%d")
    )
    at = forms.TimeField(
        label=_("At"), widget=forms.TimeInput(attrs={"type": "time", "class": "input"}, format="%H:%M")
    )
    ranged = forms.BooleanField(label=_("Only in a time range of the day"), required=False)
    until = forms.TimeField(
        label=_("Until"),
        required=False,
        widget=forms.TimeInput(attrs={"type": "time", "class": "input"}, format="%H:%M"),
    )

    repository_patterns = forms.CharField(
        label=_("Choice of repositories"),
        required=False,
        help_text=CHOICE_HELP_TEXTS["repository_patterns"],
        widget=forms.Textarea(attrs={"rows": 2, "spellcheck": "false", "class": "input"}),
    )
    tag_patterns = forms.CharField(
        label=_("Choice of tags"),
        required=False,
        help_text=CHOICE_HELP_TEXTS["tag_patterns"],
        widget=forms.Textarea(attrs={"rows": 2, "spellcheck": "false", "class": "input"}),
    )
    newest_tags = forms.IntegerField(
        label=_("Newest tags"), required=False, min_value=1, max_value=1_000_000, help_text=_("Of each repository.")
    )
    tag_days = forms.IntegerField(
        label=_("Tags younger than"), required=False, min_value=1, max_value=36_500, help_text=_("Days since the push.")
    )

    def __init__(self, *args: Any, schedule: ScanSchedule, **kwargs: Any) -> None:
        self.schedule = schedule
        if schedule.pk:
            kwargs["initial"] = {
                "name": schedule.name,
                "is_on": schedule.is_on,
                "every_days": schedule.every_days,
                "starts_on": schedule.starts_on,
                "at": schedule.at,
                "ranged": schedule.until is not None,
                "until": schedule.until,
                "categories": schedule.categories,
                "timeout": schedule.timeout // 60,
                "scope": schedule.scope,
                **schedule.choice,
            }
        else:
            today = timezone.localdate(timezone=timezone.get_default_timezone())
            first = {"is_on": True, "every_days": 1, "starts_on": today, "at": time(1), "until": time(5)}
            kwargs["initial"] = first | (kwargs.get("initial") or {})
        super().__init__(*args, **kwargs)

    def clean_name(self) -> str:
        """Return the name with single spaces; refuse one that another schedule has, whatever its case."""
        name: str = " ".join(self.cleaned_data["name"].split())
        if ScanSchedule.objects.filter(name__iexact=name).exclude(pk=self.schedule.pk).exists():
            raise forms.ValidationError(_("Another schedule has this name."))
        return name

    def clean_repository_patterns(self) -> str:
        return clean_patterns(self.cleaned_data["repository_patterns"])

    def clean_tag_patterns(self) -> str:
        return clean_patterns(self.cleaned_data["tag_patterns"])

    def clean_starts_on(self) -> date:
        day: date = self.cleaned_data["starts_on"]
        if not FIRST_DAY <= day <= LAST_DAY:
            raise forms.ValidationError(_("Choose a day of this century."))
        return day

    def clean(self) -> dict[str, Any]:
        """Check the fields together. Without a time range ``until`` is None; a range may cross midnight."""
        values = super().clean() or self.cleaned_data
        if not values.get("ranged"):
            values["until"] = None
        elif values.get("until") is None and "until" not in self.errors:
            self.add_error("until", _("Enter the end of the time range."))
        elif values.get("at") is not None and values.get("until") is not None and self._range() < MIN_TIME_RANGE:
            self.add_error("until", _("The range must be at least 15 minutes; it may cross midnight."))
        return values

    def _range(self) -> timedelta:
        begin, end = self.cleaned_data["at"], self.cleaned_data["until"]
        length = datetime.combine(FIRST_DAY, end) - datetime.combine(FIRST_DAY, begin)
        return length if length > timedelta(0) else length + timedelta(days=1) if length else length

    def apply(self) -> ScanSchedule:
        """Write what the form says to the schedule, and return that."""
        for name in ("name", "is_on", "every_days", "starts_on", "at", "until", "categories", "timeout", "scope"):
            setattr(self.schedule, name, self.cleaned_data[name])
        chosen = {name: self.cleaned_data.get(name) for name in narrow.FIELDS}
        self.schedule.choice = {name: value for name, value in chosen.items() if value}
        self.schedule.at = self.schedule.at.replace(second=0, microsecond=0)
        if self.schedule.until is not None:
            self.schedule.until = self.schedule.until.replace(second=0, microsecond=0)
        return self.schedule
