"""Messages that this package shows to people: see console.i18n.message_codes."""

from __future__ import annotations

from console.i18n.message_codes import MessageText

# --- judge_coverage
LAYER_UNKNOWN = MessageText(
    "scan.layer-unknown", "The content of the layer is not known; check the layer at its source."
)
CHECK_SKIPPED = MessageText(
    "scan.look-at-skipped", "The content named here was not scanned; check it manually if it matters."
)
KEEP_PACKAGE_DATABASE = MessageText(
    "scan.keep-package-database",
    "Build the image without removing or changing its package database, or scan it before that step.",
)
SYSTEM_UNKNOWN = MessageText(
    "scan.system-unknown",
    "The image has packages of an operating system, but no file that identifies it: the packages are not matched.",
)
KEEP_OS_RELEASE = MessageText(
    "scan.keep-os-release", "Keep /etc/os-release, and the release file of the system, in the image."
)
AND_MORE = MessageText("scan.and-more", "and %(n)d more")
PACKAGES_UNREADABLE = MessageText("scan.packages-unreadable", "Trivy could not read the packages in %(path)s.")
CHECK_PACKAGE_FILES = MessageText(
    "scan.check-package-files", "Check whether these files are damaged, then build the image again."
)
NO_PACKAGES = MessageText("scan.no-packages", "No operating system and no packages were recognised in this image.")
CHECK_SINGLE_BINARY = MessageText(
    "scan.check-single-binary",
    "Nothing to do for an image with a single binary; otherwise check that the image contains its package database.",
)
SYSTEM_WITHOUT_ADVISORIES = MessageText(
    "scan.system-without-advisories", "Unsupported operating system: no advisories are published for %(system)s."
)
REBUILD_ON_KNOWN_SYSTEM = MessageText(
    "scan.rebuild-on-known-system",
    "Rebuild the image on an operating system whose vendor publishes security advisories.",
)
SYSTEM_END_OF_LIFE = MessageText(
    "scan.system-end-of-life", "The vendor no longer publishes security advisories for %(system)s."
)
REBUILD_ON_SUPPORTED = MessageText(
    "scan.rebuild-on-supported",
    "Rebuild the image on a supported release: newer vulnerabilities are not listed for this one.",
)

# --- failures, and the steps that say why a scan waits or ends
TIMED_OUT = MessageText("scan.timed-out", "Timed out after %(minutes)s min.")
RAISE_TIMEOUT = MessageText(
    "scan.raise-timeout", "Raise the timeout in Scanning settings, or scan again when the registry is faster."
)
WAITING_FOR_SPACE = MessageText("scan.waiting-for-room", "Waiting for space in the layer store.")
LAYERS_MISSING = MessageText("scan.layers-missing", "The registry no longer contains all layers of this image.")
PUSH_ALL_LAYERS = MessageText("scan.push-all-layers", "Push the image again with all of its layers.")
TAG_GONE = MessageText("scan.tag-gone", "The tag that this scan was to pull is no longer in the inventory.")
SCAN_OTHER_TAG = MessageText(
    "scan.scan-other-tag", "Sync the registry and scan the image again through another of its tags."
)
NO_MANIFEST = MessageText("scan.no-manifest", "The registry returned something that is not an image manifest.")
SYNC_OR_PUSH = MessageText("scan.sync-or-push", "Sync the registry; if that does not help, push the image again.")
ANOTHER_IMAGE = MessageText("scan.another-image", "The manifest names another image than when the registry was synced.")
SYNC_AND_SCAN = MessageText("scan.sync-and-scan", "Sync the registry and scan the image again.")

# --- preemption
REGISTRY_DOES_NOT_RESPOND = MessageText(
    "scan.registry-does-not-answer", "%(registry)s does not respond. Scans of other registries go first."
)
PULLS_TAKE_LONG = MessageText(
    "scan.pulls-take-long", "Pulls from %(registry)s take long. Scans of other registries go first."
)

# --- failover
TRYING_ANOTHER_REGISTRY = MessageText(
    "scan.another-registry-asked", "Pulling from another registry that contains this image."
)

# --- scanned layers
LAYER_COUNTS_DIFFER = MessageText(
    "scan.layer-counts-differ", "the image's config names more or fewer layers than its manifest"
)

# --- damaged package databases
DATABASE_EMPTY = MessageText(
    "scan.database-empty",
    "The package database %(path)s is empty: the packages of %(system)s are unknown.",
)
DATABASE_TRUNCATED = MessageText(
    "scan.database-cut-off",
    "The package database %(path)s is truncated: packages of %(system)s may be missing.",
)
DATABASE_DAMAGED = MessageText(
    "scan.database-damaged",
    "The package database %(path)s is damaged: packages of %(system)s may be missing.",
)
DATABASE_NO_FILE = MessageText(
    "scan.database-no-file",
    "The package database %(path)s is a link or a folder, not a file: the packages of %(system)s are unknown.",
)
DATABASE_MISSING = MessageText(
    "scan.database-missing",
    "The package database is missing: the packages of %(system)s are unknown.",
)
DATABASE_WITHOUT_PACKAGES = MessageText(
    "scan.database-without-packages",
    "No packages could be read from the package database %(path)s: those of %(system)s are unknown.",
)
LAYER_ENCRYPTED = MessageText("scan.layer-encrypted", "A layer is encrypted and could not be scanned.")
LAYER_ELSEWHERE = MessageText("scan.layer-elsewhere", "A layer is stored outside the registry and was not scanned.")
