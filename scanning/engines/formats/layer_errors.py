"""Why a layer could not be had. Each says it to a person, with what to do; ``retry`` says it may pass by itself."""

from __future__ import annotations

from console.i18n.message_codes import ExplainedError, Message
from scanning.engines.formats import messages


class LayerError(ExplainedError):
    """A layer could not be brought into the store."""


class UnsupportedCompression(LayerError):
    """The layer is compressed in a way that image layers are not."""

    def __init__(self, found: str) -> None:
        super().__init__(
            messages.LAYER_UNSUPPORTED(found=found),
            messages.PUSH_WITH_GZIP_OR_ZSTD(),
        )


class LayerTooLarge(LayerError):
    """The layer unpacks to more than is allowed: in all, or for its packed size."""

    def __init__(self, what: Message) -> None:
        self.what = what
        super().__init__(
            messages.LAYER_TOO_LARGE(what=what),
            messages.FIND_WHO_BUILT(),
        )


class DiffIdMismatch(LayerError):
    """The uncompressed bytes are not those that the image's config names."""

    def __init__(self, expected: str, found: str) -> None:
        super().__init__(
            messages.DIFF_ID_MISMATCH(found=found, expected=expected),
            messages.BUILD_AND_PUSH_AGAIN(),
        )


class CorruptLayer(LayerError):
    """The compressed stream is damaged, although the blob is the one the manifest names."""

    def __init__(self, what: Message) -> None:
        self.what = what
        super().__init__(
            messages.LAYER_CORRUPT(what=what),
            messages.LAYER_WAS_DAMAGED(),
        )


class StoreFull(LayerError):
    """There is no room for the layer. ``waits`` says that other scans hold room which they will give back."""

    retries = True

    def __init__(self, reason: Message, remedy: Message, *, retry: bool | None = None, waits: bool = False) -> None:
        super().__init__(reason, remedy, retry=retry)
        self.waits = waits
