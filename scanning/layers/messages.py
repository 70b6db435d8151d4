"""Messages that this package shows to people: see console.i18n.message_codes."""

from __future__ import annotations

from console.i18n.message_codes import MessageText

# --- space
STORE_NEEDED_BY_OLDER_SCAN = MessageText(
    "layer-store.store-needed-by-older-scan",
    "The layer store is full, and an older scan needs the space that this one uses.",
)
STARTS_WHEN_SPACE = MessageText(
    "layer-store.begins-when-room", "Nothing to do: the scan starts again when there is space."
)
IMAGE_TOO_LARGE = MessageText(
    "layer-store.image-too-large", "The layers of this image need more than {value}, the limit of the layer store."
)
RAISE_STORE_BYTES = MessageText(
    "layer-store.raise-store-bytes", "Raise TALLYMAN_LAYER_STORE_BYTES if the disk has enough space, and scan again."
)
STORE_FULL = MessageText("layer-store.store-full", "The layer store is full: other scans use {value} of {value2}.")
WAIT_OR_RAISE_STORE_BYTES = MessageText(
    "layer-store.wait-or-raise-store-bytes",
    "Wait for them to end, scan fewer images at a time, or raise TALLYMAN_LAYER_STORE_BYTES.",
)
DISK_TOO_FULL = MessageText(
    "layer-store.disk-too-full",
    "There is not enough space on the disk of the layer store: {value} free, {value2} needed, and "
    "{min_free_ratio} of the disk must stay free.",
)
FREE_SPACE_ON_DISK = MessageText(
    "layer-store.make-room-on-disk", "Free space on the disk that contains {root}, and scan again."
)
DISK_FULL = MessageText("layer-store.disk-full", "There is no space left on the disk of the layer store.")

# --- store
DIGEST_UNKNOWN = MessageText(
    "layer-store.digest-unknown", "A layer has the digest {value}, which the layer store does not support."
)
BUILD_WITH_SHA256 = MessageText(
    "layer-store.build-with-sha256", "Build the image again with sha256 digests and push it."
)

# --- what the sentences of layer errors are filled in with
LARGER_THAN = MessageText("layer-store.larger-than", "it is larger than {size}")
UNPACKS_TO_TOO_MUCH = MessageText(
    "layer-store.unpacks-to-too-much", "it expands to more than {ratio} times its compressed size"
)
LONGER_THAN_MANIFEST_SAYS = MessageText(
    "layer-store.longer-than-manifest-says", "it is longer than the {size} bytes that the manifest states"
)
