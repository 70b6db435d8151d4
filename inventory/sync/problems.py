"""What a sync could not read, told in two sentences however much it was."""

from __future__ import annotations

from dataclasses import dataclass, field

from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from registries.oci.errors import RegistryError

MAX_NAMED_PROBLEMS = 3  # so many are named, the others counted


@dataclass
class SyncProblems:
    """Repositories and tags that could not be read. Holds a few of them, counts all."""

    count: int = 0
    _first: list[tuple[str, str, str]] = field(default_factory=list)

    def add(self, what: str, error: RegistryError) -> None:
        """Note that ``what`` (a repository, or repository:tag) could not be read because of ``error``."""
        self.note(what, error.reason, error.remedy)

    def note(self, what: str, reason: str, remedy: str) -> None:
        """As :meth:`add`, in words."""
        self.count += 1
        if len(self._first) < MAX_NAMED_PROBLEMS:
            self._first.append((what[:200], reason, remedy))

    def __bool__(self) -> bool:
        return self.count > 0

    @property
    def reason(self) -> str:
        """What could not be read and why; "" where all could."""
        if not self._first:
            return ""
        by_reason: dict[str, list[str]] = {}
        for what, reason, _remedy in self._first:
            by_reason.setdefault(reason, []).append(what)
        parts = [f"{', '.join(names)}: {reason}" for reason, names in by_reason.items()]
        head = ngettext(
            "%(count)d repository or tag could not be read.",
            "%(count)d repositories or tags could not be read.",
            self.count,
        ) % {"count": self.count}
        more = [_("And others.")] if self.count > len(self._first) else []
        return " ".join([head, *parts, *more])

    @property
    def remedy(self) -> str:
        """What to do about the first of them, and that nothing is lost."""
        if not self._first:
            return ""
        remedies = dict.fromkeys(remedy for _what, _reason, remedy in self._first if remedy)
        return " ".join([*remedies, _("What was known of them is kept; the next sync tries again.")])
