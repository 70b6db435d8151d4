"""Messages that this package shows to people: see console.i18n.message_codes."""

from __future__ import annotations

from console.i18n.message_codes import MessageText

# --- client
INVALID_RESPONSE = MessageText(
    "engine.impossible-answer", "The process that scans for viruses and trojans returned an invalid response."
)
FIND_WHO_PUSHED = MessageText(
    "engine.find-who-pushed",
    "The layer may have been made to take over that process: find out who pushed the image before you run it.",
)
TOO_MUCH_MEMORY = MessageText(
    "engine.too-much-memory", "The scan for viruses and trojans used more than {value} MiB of memory."
)
CHECK_LARGEST_ARCHIVES = MessageText(
    "engine.look-at-largest-archives",
    "The image contains something that cannot be read within that memory; check its largest archives.",
)
ENDED_EARLY = MessageText(
    "engine.ended-early", "The process that scans for viruses and trojans ended before it responded."
)
ENDED_BY_SIGNAL = MessageText(
    "engine.ended-by-signal", "The process that scans for viruses and trojans was ended by signal {number}."
)
SCAN_AGAIN_OR_FIND_WHO_PUSHED = MessageText(
    "engine.scan-again-or-find-who-pushed",
    "Scan again. If it happens with this image alone, the image may have been made to crash scanners: find "
    "out who pushed it. Otherwise check whether the machine is short of memory.",
)
