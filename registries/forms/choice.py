"""The fields of a form that choose repositories and tags: of a registry, and of a scan schedule."""

from __future__ import annotations

from django import forms
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from registries.chosen import MAX_PATTERNS

CHOICE_HELP_TEXTS = {
    "repository_patterns": gettext_lazy(
        "One pattern per line with * and ?, such as team/*; with ! in front it excludes, such as !*/cache."
    ),
    "tag_patterns": gettext_lazy("The same for tags, such as v* or !*-dev."),
    "newest_tags": gettext_lazy(
        "Of each repository, by push time, or by the numbers in the names if the registry does not tell it."
    ),
    "tag_days": gettext_lazy("Days since the push. Tags whose push time is not told are kept."),
}


def clean_patterns(typed: str) -> str:
    """Return patterns one a line, each once. Raises ValidationError."""
    lines = dict.fromkeys(line.strip() for line in typed.splitlines())
    if len(lines) > MAX_PATTERNS:
        raise forms.ValidationError(_("At most %(n)d patterns are allowed here.") % {"n": MAX_PATTERNS})
    if any(len(line) > 300 or not line.isprintable() or " " in line or line == "!" for line in lines):
        raise forms.ValidationError(_("A pattern has at most 300 characters and no spaces."))
    return "\n".join(line for line in lines if line)


def clean_positive(number: int | None) -> int | None:
    """Return ``number``; None stands for all. Raises ValidationError for 0."""
    if number == 0:
        raise forms.ValidationError(_("Enter 1 or more, or nothing for all."))
    return number
