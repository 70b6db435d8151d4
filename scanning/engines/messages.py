"""Messages that all engines show to people: see console.i18n.message_codes."""

from __future__ import annotations

from console.i18n.message_codes import MessageText

OTHER_REASONS = MessageText("engine.other-reasons", "{count} more for other reasons")
DATABASE_BUILT = MessageText("engine.database-built", "{at} UTC ({days} days ago)")
UNKNOWN_TIME = MessageText("engine.unknown-time", "at an unknown time")
