"""Messages that this package shows to people: see console.i18n.message_codes."""

from __future__ import annotations

from console.i18n.message_codes import MessageText

# --- team
NOT_PUBLISHED = MessageText(
    "rules.not-published", "The team's rules could not be shared with the other machines: %(reason)s."
)
CHECK_FOLDER_AND_POSTGRESQL = MessageText(
    "rules.check-folder-and-postgresql", "Check that the data folder and PostgreSQL have space."
)
NOT_COPIED_HERE = MessageText(
    "rules.not-copied-here", "The team's rules could not be copied to this machine: %(reason)s."
)
CHECK_SPACE = MessageText("rules.check-space", "Check that the data folder has space and is writable.")
NO_FILE_OF_RULES = MessageText("rules.no-file-of-rules", "it contains something that is not a file of rules")
