"""What is told to people by this package: see console.i18n.message_codes."""

from __future__ import annotations

from console.i18n.message_codes import MessageText

# --- reaper
WORKER_LOST_REPEATEDLY = MessageText(
    "job.worker-lost-repeatedly", "The worker was lost %(count)s times while it did this."
)
LOOK_FOR_LACK_OF_MEMORY = MessageText(
    "job.look-for-lack-of-memory",
    "Look into the log of the worker and the kernel: often the machine has run out of memory. Then start it again.",
)
WORKER_LOST = MessageText("job.worker-lost", "The worker was lost; the work starts again.")

# --- runner
DATABASE_DID_NOT_ANSWER = MessageText(
    "job.database-did-not-answer", "The database did not answer; the work starts again."
)
BROKEN_OFF = MessageText(
    "job.broken-off", "The work was broken off from outside, perhaps because it ran for more than an hour."
)
START_AGAIN = MessageText("job.start-again", "Start it again. If it happens again, look into the log of the worker.")
UNKNOWN_ERROR = MessageText(
    "job.unknown-error", "An error that the console does not know stopped the work (error %(number)s in the log)."
)
REPORT_ERROR = MessageText(
    "job.report-error", "Start it again. If it fails again, report the log lines of error %(number)s."
)
