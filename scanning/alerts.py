"""What stands out about the images, for the strip below the figures of Repository images."""

from __future__ import annotations

from collections.abc import Iterable
from functools import reduce
from operator import or_

from django.db.models import Case, Exists, Max, OuterRef, Q, Sum, Value, When
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from console.db import cached_counts
from console.jobs.models import State
from console.visibility import current
from inventory.dashboard.figures import Alert
from inventory.models import Tag
from scanning.findings import coverage as looked
from scanning.models import CategoryResult, Rematch
from scanning.rematch import run as rematch_run


def rematch_alerts() -> Iterable[Alert]:
    """Tell what the last change of the vulnerability database has brought, and whether a rematch is under way."""
    running = Rematch.objects.filter(state__in=State.active()).first()
    if running:
        share = running.percent
        done = _("%(n)d %% done") % {"n": share} if share is not None else _("queued")
        yield Alert("rematch", "wait", _("Re-matching with the new database"), done, reverse("scanning:engines"))
    last = rematch_run.last_ended_rematch()
    if last and last.new_matches and (current() is None or rematch_run.visible_new_matches(last).exists()):
        text = _("since the vulnerability database changed")
        yield Alert("news", "", rematch_run.describe_rematch(last), text, reverse("scanning:rematch", args=[last.pk]))


def count_incomplete_images() -> dict[str, int]:
    """Count the images of which something is not known that looks like a zero otherwise, by the words of coverage."""
    tagged = Exists(Tag.objects.filter(image=OuterRef("image")))
    conditions = {
        "fell": Q(regressed_from__gt=0),
        "failed": Q(outcome=CategoryResult.Outcome.FAILED),
        "partial": Q(outcome=CategoryResult.Outcome.PARTIAL),
        "unsupported": Q(outcome=CategoryResult.Outcome.UNSUPPORTED),
        "outdated": looked.outdated_results(),
    }
    # An image counts once, whatever number of its categories it is true of.
    results = CategoryResult.objects.filter(reduce(or_, conditions.values()), tagged).order_by().values("image")
    counts: dict[str, int] = results.annotate(
        **{f"is_{word}": Max(Case(When(meant, then=Value(1)), default=Value(0))) for word, meant in conditions.items()}
    ).aggregate(**{word: Sum(f"is_{word}", default=0) for word in conditions})
    return counts


def coverage_alerts() -> Iterable[Alert]:
    """Tell of how many images something is not known that looks like a zero otherwise."""
    texts = {
        "fell": _("Findings dropped to zero"),
        "failed": _("A risk category failed"),
        "partial": _("A risk category partly scanned"),
        "unsupported": _("Unsupported operating system"),
        "outdated": _("Older scanner or database"),
    }
    for word, number in cached_counts.read("coverage").values.items():
        if number:
            title = ngettext("%(n)s image", "%(n)s images", number) % {"n": f"{number:,}"}
            level = "fault" if word in ("fell", "failed") else ""
            href = f"{reverse('inventory:image-list')}?coverage={word}"
            yield Alert(word, level, texts[word], title, href)  # type: ignore[arg-type]
