"""What is told to people by this package: see console.i18n.message_codes."""

from __future__ import annotations

from console.i18n.message_codes import MessageText

# --- client
IMPOSSIBLE_ANSWER = MessageText(
    "engine.impossible-answer", "The process that looks for viruses and trojans gave an answer that it cannot mean."
)
FIND_WHO_PUSHED = MessageText(
    "engine.find-who-pushed",
    "The layer may have been made to take it over: find out who pushed the image before you run it.",
)
TOO_MUCH_MEMORY = MessageText(
    "engine.too-much-memory", "The look for viruses and trojans took more than {value} MiB of memory."
)
LOOK_AT_LARGEST_ARCHIVES = MessageText(
    "engine.look-at-largest-archives",
    "The image holds something that cannot be read in that memory; look at its largest archives.",
)
ENDED_EARLY = MessageText(
    "engine.ended-early", "The process that looks for viruses and trojans ended before it had answered."
)
ENDED_BY_SIGNAL = MessageText(
    "engine.ended-by-signal", "The process that looks for viruses and trojans was ended by signal {number}."
)
SCAN_AGAIN_OR_FIND_WHO_PUSHED = MessageText(
    "engine.scan-again-or-find-who-pushed",
    "Scan again. If it happens with this image alone, it may have been made to break what reads it: find out who "
    "pushed it. Else look for lack of memory.",
)
