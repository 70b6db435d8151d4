"""What to say where a registry answers and shows nothing: it may be empty, or the account may lack a right."""

from __future__ import annotations

from collections.abc import Mapping

from console.i18n.message_codes import Message, MessageText
from registries.connectors import messages

# by value of Registry.Type; other types: LIST_RIGHTS
_RIGHTS: Mapping[str, MessageText] = {
    "harbor": messages.LIST_RIGHTS_HARBOR,
    "quay": messages.LIST_RIGHTS_QUAY,
    "jfrog": messages.LIST_RIGHTS_JFROG,
    "aws": messages.LIST_RIGHTS_AWS,
    "tcr": messages.LIST_RIGHTS_TENCENT,
    "ccr": messages.LIST_RIGHTS_TENCENT,
}


def nothing_visible(type: str, *, anonymous: bool) -> tuple[Message, Message]:
    """Return reason and remedy for a registry of ``type`` that shows no repository at all."""
    reason = messages.NOTHING_VISIBLE_TO_ANYBODY() if anonymous else messages.NOTHING_VISIBLE()
    return reason, _RIGHTS.get(type, messages.LIST_RIGHTS)()
