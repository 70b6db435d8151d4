"""Messages that this package shows to people: see console.i18n.message_codes."""

from __future__ import annotations

from console.i18n.message_codes import MessageText

# --- check
PACKAGE_NOT_FOUND = MessageText("vulndb.package-not-seen", "Trivy did not find the package of the test.")
USE_PINNED_VERSION = MessageText("vulndb.use-pinned-version", "Use the pinned version.")

# --- install
NO_SUCH_FILE = MessageText("vulndb.no-such-file", "The file %(path)s does not exist.")
NAME_FOLDER_OR_ARCHIVE = MessageText(
    "vulndb.name-folder-or-archive", "Name a folder with trivy.db and metadata.json, or a tar.gz that contains both."
)
NOT_COPIED = MessageText("vulndb.not-copied", "The vulnerability database could not be copied: %(reason)s.")
CHECK_FILE_AND_SPACE = MessageText(
    "vulndb.check-file-and-space",
    "Check that the file is complete, and that the data folder has space and is writable.",
)
NOT_COPIED_HERE = MessageText(
    "vulndb.not-copied-here", "The vulnerability database could not be copied to this machine: %(reason)s."
)
CHECK_SPACE_AND_UPDATE = MessageText(
    "vulndb.check-space-and-update",
    "Check that the data folder has space and is writable. If it is, update the vulnerability database once more.",
)
TOOK_TOO_LONG = MessageText("vulndb.took-too-long", "It took more than an hour.")
NO_DATABASE_THERE = MessageText("vulndb.no-database-there", "The repository contains no vulnerability database.")
DOWNLOAD_FAILED = MessageText(
    "vulndb.download-failed", "The vulnerability database could not be downloaded from %(repository)s: %(reason)s"
)
CHECK_REACHABLE_OR_MIRROR = MessageText(
    "vulndb.check-reachable-or-mirror",
    "Check that this machine can reach that registry, set TALLYMAN_TRIVY_DATABASE to a mirror, or install "
    "the database from a file: manage.py update_vulnerability_db --from FILE.",
)
ANOTHER_UPDATE = MessageText("vulndb.another-update", "Another update of the vulnerability database is in progress.")
WAIT_UNTIL_ENDED = MessageText("vulndb.wait-until-ended", "Wait until it has finished.")
NOT_PUBLISHED = MessageText(
    "vulndb.not-published", "The vulnerability database could not be shared with the other machines: %(reason)s."
)
CHECK_FOLDER_AND_POSTGRESQL = MessageText(
    "vulndb.check-folder-and-postgresql", "Check that the data folder and PostgreSQL have space, then update it again."
)
NEW_IS_INVALID = MessageText(
    "vulndb.new-is-not-good", "The new vulnerability database is not valid: %(reason)s The old one stays in use."
)
GET_AGAIN = MessageText(
    "vulndb.take-again", "Get it from its source again. If it is refused again, the source is damaged."
)

# --- releases
SYSTEM_NOT_LISTED = MessageText(
    "vulndb.system-not-listed",
    "Unsupported operating system: the vulnerability database has no advisories for %(system)s.",
)
UPDATE_OR_REBUILD = MessageText(
    "vulndb.update-or-rebuild",
    "Update the vulnerability database; if that does not help, rebuild the image on a supported release.",
)
