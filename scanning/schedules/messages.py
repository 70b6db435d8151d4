"""Messages that this package shows to people: see console.i18n.message_codes."""

from __future__ import annotations

from console.i18n.message_codes import MessageText

# --- service
WAITING_FOR_TIME_RANGE = MessageText("schedule.waiting-for-time-range", "Waiting for the time range of %(name)s.")
