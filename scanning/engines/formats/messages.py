"""What is told to people by this package: see console.i18n.message_codes."""

from __future__ import annotations

from console.i18n.message_codes import MessageText, NoteText

# --- archives
CANNOT_UNPACK = NoteText(
    MessageText("layer.cannot-unpack", "1 file that cannot be unpacked ({value}): {path}"),
    MessageText("layer.cannot-unpack.many", "{count} files that cannot be unpacked ({value}), e.g. {path}"),
)
UNKNOWN_PACKING = NoteText(
    MessageText("layer.unknown-packing", "1 file packed with {found}, which is not looked into: {path}"),
    MessageText(
        "layer.unknown-packing.many", "{count} files packed with {found}, which is not looked into, e.g. {path}"
    ),
)
EXPANDS_TOO_MUCH = NoteText(
    MessageText("layer.expands-too-much", "1 file that unpack to more than {ratio} times their packed size: {path}"),
    MessageText(
        "layer.expands-too-much.many",
        "{count} files that unpack to more than {ratio} times their packed size, e.g. {path}",
    ),
)
ARCHIVE_READ_IN_PART = NoteText(
    MessageText(
        "layer.archive-read-in-part", "1 file in archives of which only the first {value} MiB were looked at: {path}"
    ),
    MessageText(
        "layer.archive-read-in-part.many",
        "{count} files in archives of which only the first {value} MiB were looked at, e.g. {path}",
    ),
)
ARCHIVES_HOLD_TOO_MUCH = NoteText(
    MessageText(
        "layer.archives-hold-too-much", "1 file in archives that hold more than is unpacked of one layer: {path}"
    ),
    MessageText(
        "layer.archives-hold-too-much.many",
        "{count} files in archives that hold more than is unpacked of one layer, e.g. {path}",
    ),
)
SPARSE_AND_LARGE = NoteText(
    MessageText("layer.sparse-and-large", "1 file with holes and over {value} MiB: {path}"),
    MessageText("layer.sparse-and-large.many", "{count} files with holes and over {value} MiB, e.g. {path}"),
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
        "1 file that are one piece of a zip archive of several, which is not looked into without the others: {path}",
    ),
    MessageText(
        "layer.zip-of-several.many",
        "{count} files that are one piece of a zip archive of several, which is not looked into without the others, "
        "e.g. {path}",
    ),
)
ZIP_WITHOUT_DIRECTORY = NoteText(
    MessageText(
        "layer.zip-without-directory",
        "1 file whose zip directory is missing: only the files that their own headers name were looked at: {path}",
    ),
    MessageText(
        "layer.zip-without-directory.many",
        "{count} files whose zip directory is missing: only the files that their own headers name were looked at, "
        "e.g. {path}",
    ),
)
ZIP_DIRECTORY_CUT_OFF = NoteText(
    MessageText(
        "layer.zip-directory-cut-off",
        "1 file that cannot be unpacked (the directory of the zip archive is cut off): {path}",
    ),
    MessageText(
        "layer.zip-directory-cut-off.many",
        "{count} files that cannot be unpacked (the directory of the zip archive is cut off), e.g. {path}",
    ),
)
ZIP_MEMBER_MISSING = NoteText(
    MessageText("layer.zip-member-missing", "1 file named in the directory of a zip archive and missing in it: {path}"),
    MessageText(
        "layer.zip-member-missing.many",
        "{count} files named in the directory of a zip archive and missing in it, e.g. {path}",
    ),
)
ENCRYPTED = NoteText(
    MessageText("layer.encrypted", "1 file in archives encrypted with a password: {path}"),
    MessageText("layer.encrypted.many", "{count} files in archives encrypted with a password, e.g. {path}"),
)
ZIP_UNUSUAL_METHOD = NoteText(
    MessageText("layer.zip-unusual-method", "1 file in zip archives packed with an unusual method: {path}"),
    MessageText(
        "layer.zip-unusual-method.many", "{count} files in zip archives packed with an unusual method, e.g. {path}"
    ),
)

# --- layer_errors
LAYER_UNSUPPORTED = MessageText(
    "layer.layer-unsupported", "A layer is {found}; layers are gzip, zstd or not compressed."
)
PUSH_WITH_GZIP_OR_ZSTD = MessageText(
    "layer.push-with-gzip-or-zstd", "Push the image again with gzip or zstd layers, then scan again."
)
LAYER_TOO_LARGE = MessageText("layer.layer-too-large", "A layer was not unpacked: {what}.")
LOOK_WHO_BUILT = MessageText(
    "layer.look-who-built",
    "Look at who built this image and why: layers like this are made to exhaust what unpacks them.",
)
DIFF_ID_MISMATCH = MessageText(
    "layer.diff-id-mismatch", "Digest mismatch: an uncompressed layer is {found}, the image's config says {expected}."
)
BUILD_AND_PUSH_AGAIN = MessageText(
    "layer.build-and-push-again", "Build the image again and push it: its config and its layers do not belong together."
)
LAYER_CORRUPT = MessageText("layer.layer-corrupt", "A layer cannot be unpacked: {what}.")
LAYER_WAS_DAMAGED = MessageText(
    "layer.layer-was-damaged", "Build the image again and push it: the layer was already damaged when it was pushed."
)

# --- what the sentences above are filled in with
GZIP_DAMAGED = MessageText("layer.gzip-damaged", "its gzip stream is damaged ({error})")
GZIP_CUT_OFF = MessageText("layer.gzip-cut-off", "its gzip stream is cut off")
GZIP_FOLLOWED = MessageText("layer.gzip-followed", "something that is no gzip follows its gzip stream")
ZSTD_WINDOW_TOO_LARGE = MessageText("layer.zstd-window-too-large", "its zstd window is larger than {size} MiB")
ZSTD_DAMAGED = MessageText("layer.zstd-damaged", "its zstd stream is damaged ({error})")
ZSTD_CUT_OFF = MessageText("layer.zstd-cut-off", "its zstd stream is cut off")
