"""Messages that this package shows to people: see console.i18n.message_codes."""

from __future__ import annotations

from console.i18n.message_codes import MessageText

# --- run
SUPERVISOR_KILLED = MessageText("sandbox.supervisor-killed", "Its supervisor was killed.")
RAN_TOO_LONG = MessageText("sandbox.ran-too-long", "It ran for more than {timeout} seconds.")
TOO_MUCH_MEMORY = MessageText("sandbox.too-much-memory", "It used more than {value} MiB of memory.")
NOT_STARTED = MessageText("sandbox.not-started", "It could not be started: {value} ({name}).")
WROTE_TOO_MUCH = MessageText("sandbox.wrote-too-much", "It wrote more than {stdout_limit} bytes.")
