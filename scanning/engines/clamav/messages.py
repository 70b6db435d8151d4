"""What is told to people by this package: see console.i18n.message_codes."""

from __future__ import annotations

from console.i18n.message_codes import MessageText, NoteText

# --- clamd
NO_CLAMD = MessageText("clamav.no-clamd", "What answers at {address} is no clamd: {value}.")
NAME_CLAMD = MessageText("clamav.name-clamd", "Name the socket or the port of clamd in TALLYMAN_CLAMD.")
FAILED_AT_FILE = MessageText("clamav.failed-at-file", "ClamAV failed at a file: {value}")
LOOK_INTO_LOG = MessageText("clamav.look-into-log", "Look into the log of clamd.")
UNREACHABLE = MessageText("clamav.unreachable", "ClamAV cannot be reached at {address}: {why}.")
START_CLAMD = MessageText(
    "clamav.start-clamd",
    "Start clamd, see that this process may use its socket or port, or leave TALLYMAN_CLAMD empty to scan without "
    "ClamAV.",
)
BROKE_OFF = MessageText("clamav.broke-off", "ClamAV at {address} broke off or did not answer.")
LOOK_INTO_LOG_AND_SCAN = MessageText(
    "clamav.look-into-log-and-scan",
    "Look into the log of clamd: it may be short of memory, or be loading its signatures. Then scan again.",
)

# --- engine
SIGNATURES_OLD = MessageText(
    "clamav.signatures-old", "The signatures are {days} days old: what was found since is not recognised."
)
UPDATE_DAILY = MessageText("clamav.update-daily", "Have freshclam update them every day.")
LAYER_DAMAGED = NoteText(
    MessageText("clamav.layer-damaged", "1 file of this layer is damaged, and what follows was not looked at: {path}"),
    MessageText(
        "clamav.layer-damaged.many",
        "{count} files of this layer is damaged, and what follows was not looked at, e.g. {path}",
    ),
)
TOO_LARGE = NoteText(
    MessageText("clamav.too-large", "1 file over {mebibytes} MiB, not given to ClamAV: {path}"),
    MessageText("clamav.too-large.many", "{count} files over {mebibytes} MiB, not given to ClamAV, e.g. {path}"),
)
STREAM_TOO_LARGE = NoteText(
    MessageText("clamav.stream-too-large", "1 file larger than clamd takes (StreamMaxLength): {path}"),
    MessageText("clamav.stream-too-large.many", "{count} files larger than clamd takes (StreamMaxLength), e.g. {path}"),
)
TOO_MANY_FINDINGS = NoteText(
    MessageText("clamav.too-many-findings", "1 file recognised beyond the first {max_findings}, not listed: {path}"),
    MessageText(
        "clamav.too-many-findings.many",
        "{count} files recognised beyond the first {max_findings}, not listed, e.g. {path}",
    ),
)
KNOWS_FILE = MessageText("clamav.knows-file", "ClamAV knows this file as {signature}.")
