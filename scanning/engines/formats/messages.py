"""Messages that this package shows to people: see console.i18n.message_codes."""

from __future__ import annotations

from console.i18n.message_codes import MessageText, NoteText

# --- archives
CANNOT_UNPACK = NoteText(
    MessageText("layer.cannot-unpack", "1 file that cannot be unpacked ({value}): {path}"),
    MessageText("layer.cannot-unpack.many", "{count} files that cannot be unpacked ({value}), e.g. {path}"),
)
UNKNOWN_PACKING = NoteText(
    MessageText("layer.unknown-packing", "1 file in {found} format, which is not unpacked: {path}"),
    MessageText("layer.unknown-packing.many", "{count} files in {found} format, which is not unpacked, e.g. {path}"),
)
EXPANDS_TOO_MUCH = NoteText(
    MessageText("layer.expands-too-much", "1 file that expands to more than {ratio} times its compressed size: {path}"),
    MessageText(
        "layer.expands-too-much.many",
        "{count} files that expand to more than {ratio} times their compressed size, e.g. {path}",
    ),
)
ARCHIVE_READ_IN_PART = NoteText(
    MessageText(
        "layer.archive-read-in-part", "1 file in an archive of which only the first {value} MiB were scanned: {path}"
    ),
    MessageText(
        "layer.archive-read-in-part.many",
        "{count} files in archives of which only the first {value} MiB were scanned, e.g. {path}",
    ),
)
ARCHIVES_TOO_LARGE = NoteText(
    MessageText(
        "layer.archives-hold-too-much",
        "1 file in an archive beyond the limit of what is unpacked from one layer: {path}",
    ),
    MessageText(
        "layer.archives-hold-too-much.many",
        "{count} files in archives beyond the limit of what is unpacked from one layer, e.g. {path}",
    ),
)
SPARSE_AND_LARGE = NoteText(
    MessageText("layer.sparse-and-large", "1 sparse file over {value} MiB: {path}"),
    MessageText("layer.sparse-and-large.many", "{count} sparse files over {value} MiB, e.g. {path}"),
)
ZIP_TOO_MANY_ENDS = NoteText(
    MessageText(
        "layer.zip-too-many-ends", "1 file that cannot be unpacked (the zip archive has too many end records): {path}"
    ),
    MessageText(
        "layer.zip-too-many-ends.many",
        "{count} files that cannot be unpacked (the zip archive has too many end records), e.g. {path}",
    ),
)
ZIP_OF_SEVERAL = NoteText(
    MessageText(
        "layer.zip-of-several",
        "1 file that is one part of a multi-part zip archive, which is not scanned without the other parts: {path}",
    ),
    MessageText(
        "layer.zip-of-several.many",
        "{count} files that are each one part of a multi-part zip archive, which is not scanned without the "
        "other parts, e.g. {path}",
    ),
)
ZIP_WITHOUT_DIRECTORY = NoteText(
    MessageText(
        "layer.zip-without-directory",
        "1 file whose zip directory is missing: only the files with headers of their own were scanned: {path}",
    ),
    MessageText(
        "layer.zip-without-directory.many",
        "{count} files whose zip directory is missing: only the files with headers of their own were scanned, "
        "e.g. {path}",
    ),
)
ZIP_DIRECTORY_TRUNCATED = NoteText(
    MessageText(
        "layer.zip-directory-cut-off",
        "1 file that cannot be unpacked (the directory of the zip archive is truncated): {path}",
    ),
    MessageText(
        "layer.zip-directory-cut-off.many",
        "{count} files that cannot be unpacked (the directory of the zip archive is truncated), e.g. {path}",
    ),
)
ZIP_MEMBER_MISSING = NoteText(
    MessageText(
        "layer.zip-member-missing",
        "1 file named in the directory of a zip archive but missing from the archive: {path}",
    ),
    MessageText(
        "layer.zip-member-missing.many",
        "{count} files named in the directory of a zip archive but missing from the archive, e.g. {path}",
    ),
)
ENCRYPTED = NoteText(
    MessageText("layer.encrypted", "1 file in an archive encrypted with a password: {path}"),
    MessageText("layer.encrypted.many", "{count} files in archives encrypted with a password, e.g. {path}"),
)
ZIP_UNUSUAL_METHOD = NoteText(
    MessageText("layer.zip-unusual-method", "1 file in a zip archive with an unsupported compression method: {path}"),
    MessageText(
        "layer.zip-unusual-method.many",
        "{count} files in zip archives with an unsupported compression method, e.g. {path}",
    ),
)

# --- layer_errors
LAYER_UNSUPPORTED = MessageText(
    "layer.layer-unsupported", "A layer is {found}; only gzip, zstd and uncompressed layers are supported."
)
PUSH_WITH_GZIP_OR_ZSTD = MessageText(
    "layer.push-with-gzip-or-zstd", "Push the image again with gzip or zstd layers, then scan again."
)
LAYER_TOO_LARGE = MessageText("layer.layer-too-large", "A layer was not unpacked: {what}.")
FIND_WHO_BUILT = MessageText(
    "layer.look-who-built",
    "Find out who built this image and why: layers like this are made to exhaust the program that unpacks them.",
)
DIFF_ID_MISMATCH = MessageText(
    "layer.diff-id-mismatch",
    "Digest mismatch: an uncompressed layer is {found}, but the image's config states {expected}.",
)
BUILD_AND_PUSH_AGAIN = MessageText(
    "layer.build-and-push-again", "Build and push the image again: its config and its layers do not belong together."
)
LAYER_CORRUPT = MessageText("layer.layer-corrupt", "A layer cannot be unpacked: {what}.")
LAYER_WAS_DAMAGED = MessageText(
    "layer.layer-was-damaged", "Build and push the image again: the layer was already damaged when it was pushed."
)

# --- what the sentences above are filled in with
GZIP_DAMAGED = MessageText("layer.gzip-damaged", "its gzip stream is damaged ({error})")
GZIP_TRUNCATED = MessageText("layer.gzip-cut-off", "its gzip stream is truncated")
GZIP_FOLLOWED = MessageText("layer.gzip-followed", "its gzip stream is followed by data that is not gzip")
ZSTD_WINDOW_TOO_LARGE = MessageText("layer.zstd-window-too-large", "its zstd window is larger than {size} MiB")
ZSTD_DAMAGED = MessageText("layer.zstd-damaged", "its zstd stream is damaged ({error})")
ZSTD_TRUNCATED = MessageText("layer.zstd-cut-off", "its zstd stream is truncated")
