"""Messages that this package shows to people: see console.i18n.message_codes."""

from __future__ import annotations

from console.i18n.message_codes import MessageText

# --- cancel
CANCELLED_HERE = MessageText("run.cancelled-here", "Cancelled here; the scan continues for another run")

# --- enqueue
ALREADY_SCANNING = MessageText("run.already-scanning", "Already scanning")
BEING_CANCELLED = MessageText("run.being-cancelled", "Its scan is being cancelled; scan it again afterwards")
SCANNING_OTHER_CATEGORIES = MessageText(
    "run.scanning-other-categories", "Being scanned for other risk categories; scan it again afterwards"
)
IMAGE_UNREADABLE = MessageText(
    "run.image-unreadable", "The image behind this tag could not be read; sync its registry first"
)
TAG_MISSING = MessageText("run.tag-missing", "The registry does not list this tag any more")
QUOTA_USED_UP = MessageText("run.quota-used-up", "The quota of %(n)s scans this month is used up")

# --- refused_credentials
CREDENTIALS_REFUSED = MessageText(
    "run.credentials-refused",
    "The registry refused its credentials: the scan waits until they are changed or a connection test passes.",
)

# --- limit_waits
WAITING_FOR_HOURLY_LIMIT = MessageText("scan.waiting-for-hourly-limit", "Waiting for the hourly limit of %(registry)s.")
