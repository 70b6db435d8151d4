"""What is told to people by this package: see console.i18n.message_codes."""

from __future__ import annotations

from console.i18n.message_codes import MessageText

# --- judge_coverage
LAYER_UNKNOWN = MessageText("scan.layer-unknown", "What the layer holds is not known; look at it where it comes from.")
LOOK_AT_SKIPPED = MessageText(
    "scan.look-at-skipped", "What is named here was not looked at; look at it by hand where it matters."
)
KEEP_PACKAGE_DATABASE = MessageText(
    "scan.keep-package-database",
    "Build the image without removing or changing its package database, or scan it before that is done.",
)
SYSTEM_UNKNOWN = MessageText(
    "scan.system-unknown",
    "The image has packages of an operating system, and no file that says of which: they are not matched.",
)
KEEP_OS_RELEASE = MessageText(
    "scan.keep-os-release", "Keep /etc/os-release, and the release file of the system, in the image."
)
AND_MORE = MessageText("scan.and-more", "and %(n)d more")
PACKAGES_UNREADABLE = MessageText("scan.packages-unreadable", "Trivy could not read the packages in %(path)s.")
CHECK_PACKAGE_FILES = MessageText(
    "scan.check-package-files", "See whether these files are damaged, then build the image again."
)
NO_PACKAGES = MessageText("scan.no-packages", "No operating system and no packages were recognised in this image.")
CHECK_SINGLE_BINARY = MessageText(
    "scan.check-single-binary",
    "Nothing to do for an image of a single binary; else check that its package database is kept.",
)
SYSTEM_WITHOUT_ADVISORIES = MessageText(
    "scan.system-without-advisories", "Unsupported operating system: nobody publishes advisories for %(system)s."
)
REBUILD_ON_KNOWN_SYSTEM = MessageText(
    "scan.rebuild-on-known-system", "Rebuild the image on a system whose makers publish security notices."
)
SYSTEM_END_OF_LIFE = MessageText("scan.system-end-of-life", "%(system)s gets no more security notices from its makers.")
REBUILD_ON_SUPPORTED = MessageText(
    "scan.rebuild-on-supported",
    "Rebuild the image on a supported release: newer vulnerabilities are not listed for this one.",
)

# --- failures, and the steps that say why a scan waits or ends
TIMED_OUT = MessageText("scan.timed-out", "Timed out after %(minutes)s min.")
RAISE_TIMEOUT = MessageText(
    "scan.raise-timeout", "Raise the timeout in Scanning settings, or scan again when the registry is faster."
)
WAITING_FOR_ROOM = MessageText("scan.waiting-for-room", "Waiting for room in the layer store.")
LAYERS_MISSING = MessageText("scan.layers-missing", "The registry no longer gives all layers of this image.")
PUSH_ALL_LAYERS = MessageText("scan.push-all-layers", "Push the image again, with all of its layers.")
TAG_GONE = MessageText("scan.tag-gone", "The tag this scan was to pull is no longer in the inventory.")
SCAN_OTHER_TAG = MessageText(
    "scan.scan-other-tag", "Sync the registry and scan the image again by another of its tags."
)
NO_MANIFEST = MessageText("scan.no-manifest", "The registry answered with something that is no image manifest.")
SYNC_OR_PUSH = MessageText("scan.sync-or-push", "Sync the registry; if that does not help, push the image again.")
ANOTHER_IMAGE = MessageText(
    "scan.another-image", "The manifest names another image than it did when the registry was synced."
)
SYNC_AND_SCAN = MessageText("scan.sync-and-scan", "Sync the registry and scan the image again.")

# --- preemption
REGISTRY_DOES_NOT_ANSWER = MessageText(
    "scan.registry-does-not-answer", "%(registry)s does not answer. Scans of other registries go first."
)
PULLS_TAKE_LONG = MessageText(
    "scan.pulls-take-long", "Pulls from %(registry)s take long. Scans of other registries go first."
)

# --- failover
ANOTHER_REGISTRY_ASKED = MessageText("scan.another-registry-asked", "Another registry that holds this image is asked.")

# --- scanned layers
LAYER_COUNTS_DIFFER = MessageText(
    "scan.layer-counts-differ", "the image's config names more or fewer layers than its manifest"
)

# --- damaged package databases
DATABASE_EMPTY = MessageText(
    "scan.database-empty",
    "The package database %(path)s is empty: the packages of %(system)s are not known.",
)
DATABASE_CUT_OFF = MessageText(
    "scan.database-cut-off",
    "The package database %(path)s is cut off: packages of %(system)s may be missing.",
)
DATABASE_DAMAGED = MessageText(
    "scan.database-damaged",
    "The package database %(path)s is damaged: packages of %(system)s may be missing.",
)
DATABASE_NO_FILE = MessageText(
    "scan.database-no-file",
    "The package database %(path)s is a link or a folder, not a file: the packages of %(system)s are not known.",
)
DATABASE_MISSING = MessageText(
    "scan.database-missing",
    "The package database is missing: the packages of %(system)s are not known.",
)
DATABASE_WITHOUT_PACKAGES = MessageText(
    "scan.database-without-packages",
    "No packages could be read from the package database %(path)s: those of %(system)s are not known.",
)
LAYER_ENCRYPTED = MessageText("scan.layer-encrypted", "A layer is encrypted and could not be looked at.")
LAYER_ELSEWHERE = MessageText("scan.layer-elsewhere", "A layer lies outside of the registry and was not looked at.")
