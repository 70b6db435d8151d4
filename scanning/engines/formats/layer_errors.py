"""Why a layer could not be had. Each says it to a person, with what to do; ``retry`` says it may pass by itself."""

from __future__ import annotations


class LayerError(Exception):
    """A layer could not be brought into the store."""

    retry = False

    def __init__(self, reason: str, remedy: str, *, retry: bool | None = None) -> None:
        super().__init__(reason)
        self.reason, self.remedy = reason, remedy
        if retry is not None:
            self.retry = retry


class UnsupportedCompression(LayerError):
    """The layer is compressed in a way that image layers are not."""

    def __init__(self, found: str) -> None:
        super().__init__(
            f"A layer is {found}; layers are gzip, zstd or not compressed.",
            "Push the image again with gzip or zstd layers, then scan again.",
        )


class LayerTooLarge(LayerError):
    """The layer unpacks to more than is allowed: in all, or for its packed size."""

    def __init__(self, what: str) -> None:
        self.what = what
        super().__init__(
            f"A layer was not unpacked: {what}.",
            "Look at who built this image and why: layers like this are made to exhaust what unpacks them.",
        )


class DiffIdMismatch(LayerError):
    """The uncompressed bytes are not those that the image's config names."""

    def __init__(self, expected: str, found: str) -> None:
        super().__init__(
            f"Digest mismatch: an uncompressed layer is {found}, the image's config says {expected}.",
            "Build the image again and push it: its config and its layers do not belong together.",
        )


class CorruptLayer(LayerError):
    """The compressed stream is damaged, although the blob is the one the manifest names."""

    def __init__(self, what: str) -> None:
        self.what = what
        super().__init__(
            f"A layer cannot be unpacked: {what}.",
            "Build the image again and push it: the layer was already damaged when it was pushed.",
        )


class StoreFull(LayerError):
    """There is no room for the layer. ``waits`` says that other scans hold room which they will give back."""

    retry = True

    def __init__(self, reason: str, remedy: str, *, retry: bool | None = None, waits: bool = False) -> None:
        super().__init__(reason, remedy, retry=retry)
        self.waits = waits
