"""What a sync could not read, told in two sentences however much it was."""

from __future__ import annotations

from dataclasses import dataclass, field

from console.i18n.message_codes import NOTHING, Message, sentences
from inventory.sync import messages
from registries.oci.errors import RegistryError

MAX_NAMED_PROBLEMS = 3  # so many are named, the others counted


@dataclass
class SyncProblems:
    """Repositories and tags that could not be read. Holds a few of them, counts all."""

    count: int = 0
    _first: list[tuple[str, Message, Message]] = field(default_factory=list)

    def add(self, what: str, error: RegistryError) -> None:
        """Note that ``what`` (a repository, or repository:tag) could not be read because of ``error``."""
        self.note(what, error.reason, error.remedy)

    def note(self, what: str, reason: Message, remedy: Message) -> None:
        """As :meth:`add`, in words."""
        self.count += 1
        if len(self._first) < MAX_NAMED_PROBLEMS:
            self._first.append((what if isinstance(what, Message) else what[:200], reason, remedy))

    def __bool__(self) -> bool:
        return self.count > 0

    @property
    def reason(self) -> Message:
        """What could not be read and why; "" where all could."""
        if not self._first:
            return NOTHING
        by_reason: dict[Message, list[str]] = {}
        for what, reason, _remedy in self._first:
            by_reason.setdefault(reason, []).append(what)
        parts = [messages.UNREAD(names=names, reason=reason) for reason, names in by_reason.items()]
        head = messages.COULD_NOT_BE_READ(count=self.count)
        more = [messages.AND_OTHERS()] if self.count > len(self._first) else []
        return sentences(head, *parts, *more)

    @property
    def remedy(self) -> Message:
        """What to do about the first of them, and that nothing is lost."""
        if not self._first:
            return NOTHING
        remedies = dict.fromkeys(remedy for _what, _reason, remedy in self._first if remedy)
        return sentences(*remedies, messages.LAST_DATA_STAYS())
