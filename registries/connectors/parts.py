"""A registry that is listed part by part (projects, namespaces, keys): one broken part does not hide the others."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from console.i18n.message_codes import Message, sentences
from registries.connectors import messages
from registries.oci.errors import (
    AccessDenied,
    ListingTooLong,
    MalformedResponse,
    NotARegistry,
    NotFound,
    PartsUnreadable,
    RegistryError,
    ServerError,
)

MAX_NAMED_PARTS = 5
# These say something of one part, and nothing of the registry as a whole.
PART_ERRORS = (AccessDenied, NotFound, MalformedResponse, NotARegistry, ServerError)


@dataclass
class Parts:
    """The parts of one list that could not be read, by name, and why."""

    failed: dict[str, RegistryError] = field(default_factory=dict)
    read_any: bool = False  # whether any was read to its end

    def read(self, part: str, names: Iterator[str]) -> Iterator[str]:
        """Yield ``names``, those in ``part``; keep the error that ends them early if it is of this part alone."""
        try:
            yield from names
        except ListingTooLong:
            raise  # of the whole list
        except PART_ERRORS as error:
            self.failed[part] = error
        else:
            self.read_any = True

    def raise_failed(self, denied: Callable[[str], Message], remedy: Message) -> None:
        """Raise PartsUnreadable at the end of the list if any part was left out.

        What ``denied`` makes of their names is the reason, with ``remedy``, where rights are all that is lacking.
        Where no part could be read at all that is an error of the whole list: raises AccessDenied or the first one.
        """
        if not self.failed:
            return
        parts = tuple(sorted(self.failed))
        if all(isinstance(error, AccessDenied | NotFound) for error in self.failed.values()):
            if not self.read_any:
                raise AccessDenied(denied(_named(list(parts))), remedy)
            raise PartsUnreadable(denied(_named(list(parts))), remedy, parts=parts)
        if not self.read_any:
            raise next(error for error in self.failed.values() if not isinstance(error, AccessDenied | NotFound))
        by_reason: dict[Message, list[str]] = {}
        for name, error in sorted(self.failed.items()):
            by_reason.setdefault(error.reason, []).append(name)
        reasons = [messages.PARTS_NOT_LISTED(parts=_named(names), reason=why) for why, names in by_reason.items()]
        remedies = dict.fromkeys(error.remedy for error in self.failed.values())
        raise PartsUnreadable(sentences(*reasons), sentences(*remedies), parts=parts)


def _named(names: list[str]) -> str:
    return ", ".join(names[:MAX_NAMED_PARTS]) + (", …" if len(names) > MAX_NAMED_PARTS else "")
