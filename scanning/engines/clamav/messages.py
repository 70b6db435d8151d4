"""Messages that this package shows to people: see console.i18n.message_codes."""

from __future__ import annotations

from console.i18n.message_codes import MessageText, NoteText

# --- clamd
NO_CLAMD = MessageText("clamav.no-clamd", "The service at {address} is not clamd: {value}.")
NAME_CLAMD = MessageText("clamav.name-clamd", "Set TALLYMAN_CLAMD to the socket or port of clamd.")
FAILED_AT_FILE = MessageText("clamav.failed-at-file", "ClamAV failed on a file: {value}")
CHECK_LOG = MessageText("clamav.look-into-log", "Check the log of clamd.")
UNREACHABLE = MessageText("clamav.unreachable", "ClamAV cannot be reached at {address}: {why}.")
START_CLAMD = MessageText(
    "clamav.start-clamd",
    "Start clamd, check that this process may use its socket or port, or leave TALLYMAN_CLAMD empty to scan "
    "without ClamAV.",
)
CONNECTION_CLOSED = MessageText("clamav.broke-off", "ClamAV at {address} closed the connection or did not respond.")
CHECK_LOG_AND_SCAN = MessageText(
    "clamav.look-into-log-and-scan",
    "Check the log of clamd: it may be short of memory, or still be loading its signatures. Then scan again.",
)

# --- engine
SIGNATURES_OLD = MessageText(
    "clamav.signatures-old", "The signatures are {days} days old: malware that appeared since then is not detected."
)
UPDATE_DAILY = MessageText("clamav.update-daily", "Configure freshclam to update them every day.")
LAYER_DAMAGED = NoteText(
    MessageText(
        "clamav.layer-damaged", "1 file in this layer is damaged, and the rest of the layer was not scanned: {path}"
    ),
    MessageText(
        "clamav.layer-damaged.many",
        "{count} files in this layer are damaged, and the rest of the layer was not scanned, e.g. {path}",
    ),
)
TOO_LARGE = NoteText(
    MessageText("clamav.too-large", "1 file over {mebibytes} MiB, not sent to ClamAV: {path}"),
    MessageText("clamav.too-large.many", "{count} files over {mebibytes} MiB, not sent to ClamAV, e.g. {path}"),
)
STREAM_TOO_LARGE = NoteText(
    MessageText("clamav.stream-too-large", "1 file larger than clamd accepts (StreamMaxLength): {path}"),
    MessageText(
        "clamav.stream-too-large.many", "{count} files larger than clamd accepts (StreamMaxLength), e.g. {path}"
    ),
)
TOO_MANY_FINDINGS = NoteText(
    MessageText("clamav.too-many-findings", "1 file detected beyond the first {max_findings}, not listed: {path}"),
    MessageText(
        "clamav.too-many-findings.many",
        "{count} files detected beyond the first {max_findings}, not listed, e.g. {path}",
    ),
)
DETECTED_AS = MessageText("clamav.knows-file", "ClamAV detects this file as {signature}.")
