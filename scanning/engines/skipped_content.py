"""What of a layer was not looked at, and its paths: words that an image has chosen, made fit to be shown."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from console.i18n.message_codes import Message, Note
from scanning.engines import messages

MAX_PATH_CHARACTERS = 1000  # characters of a path
MAX_NOTE_LINES = 50
MAX_EXAMPLES_PER_REASON = 3  # paths that are named for one reason


@dataclass
class Notes:
    """What was not looked at and why, counted, each with the first paths for examples."""

    counts: Counter[Note] = field(default_factory=Counter)
    examples: dict[Note, list[str]] = field(default_factory=dict)
    others: int = 0

    def add(self, why: Note, path: str) -> None:
        """Note that ``path`` was not (wholly) looked at."""
        why = Note(why.text, tuple((name, _fit(value)) for name, value in why.values))
        if why not in self.counts and len(self.counts) >= MAX_NOTE_LINES - 1:
            self.others += 1
            return
        self.counts[why] += 1
        examples = self.examples.setdefault(why, [])
        path = printable_path(path)
        room = not examples or sum(map(len, examples)) + len(path) + 2 * len(examples) <= MAX_PATH_CHARACTERS
        if room and len(examples) < MAX_EXAMPLES_PER_REASON and path not in examples:
            examples.append(path)

    def lines(self) -> tuple[Message, ...]:
        """Return a line for each reason, at most MAX_NOTE_LINES: a layer may be made to cause reasons without end."""
        lines = [why.message(count, ", ".join(self.examples[why])) for why, count in self.counts.items()]
        return (*lines, *([messages.OTHER_REASONS(count=self.others)] if self.others else []))


def _fit(value: object) -> object:
    return printable_path(value) if isinstance(value, str) and not isinstance(value, Message) else value


def printable_path(path: str) -> str:
    """Return ``path`` for a person and a database: what is no text is escaped, so that two paths never look the same.

    Of a path over 1000 characters the middle is left out.
    """
    if not path.isprintable() or "\\" in path:
        path = "".join(char if char.isprintable() and char != "\\" else _escaped(char) for char in path)
    return (
        path
        if len(path) <= MAX_PATH_CHARACTERS
        else f"{path[: MAX_PATH_CHARACTERS // 2]}…{path[-(MAX_PATH_CHARACTERS // 2) + 1 :]}"
    )


def _escaped(char: str) -> str:
    if "\udc80" <= char <= "\udcff":  # a byte that is no UTF-8
        return f"\\x{ord(char) - 0xDC00:02x}"
    return char.encode("unicode_escape").decode()
