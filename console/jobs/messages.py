"""Messages that this package shows to people: see console.i18n.message_codes."""

from __future__ import annotations

from console.i18n.message_codes import MessageText

# --- reaper
WORKER_LOST_REPEATEDLY = MessageText(
    "job.worker-lost-repeatedly", "The worker was lost %(count)s times while it ran this job."
)
CHECK_MEMORY = MessageText(
    "job.look-for-lack-of-memory",
    "Check the logs of the worker and the kernel: often the machine has run out of memory. Then start the job again.",
)
WORKER_LOST = MessageText("job.worker-lost", "The worker was lost; the job starts again.")

# --- runner
DATABASE_DID_NOT_RESPOND = MessageText(
    "job.database-did-not-answer", "The database did not respond; the job starts again."
)
STOPPED_FROM_OUTSIDE = MessageText(
    "job.broken-off", "The job was stopped from outside, perhaps because it ran for more than an hour."
)
START_AGAIN = MessageText("job.start-again", "Start it again. If it keeps happening, check the worker's log.")
UNKNOWN_ERROR = MessageText("job.unknown-error", "An unexpected error stopped the job (error %(number)s in the log).")
REPORT_ERROR = MessageText(
    "job.report-error", "Start it again. If it fails again, report it with the log lines of error %(number)s."
)
