"""Reading a blob: every byte counted and hashed, broken connections taken up again where they ended."""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from typing import TYPE_CHECKING

from console.i18n.message_codes import Message
from registries.oci import messages
from registries.oci.errors import DigestMismatch, MalformedResponse, TimedOut, Truncated, Unreachable
from registries.oci.manifests import Descriptor
from registries.oci.responses import RegistryResponse

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

CHUNK_BYTES = 256 * 1024
MAX_RESUMES = 3
MAX_UNSIZED_BYTES = 64 * 1024**3  # bytes of a layer whose manifest tells no size (schema 1)
CONTENT_RANGE = re.compile(r"bytes (\d{1,18})-\d{1,18}/(?:\d{1,18}|\*)")


class BlobReader(io.RawIOBase):
    """Gives the bytes of a blob. The last of them is given only after size and digest have been found right.

    ``fetch`` asks the registry for the blob from a byte onwards and answers 200, 206 or 416, else raises.
    Raises DigestMismatch (throw away what was read; a second reading may help), Truncated, and what ``fetch`` raises.
    """

    def __init__(self, blob: Descriptor, fetch: Callable[[int], RegistryResponse]) -> None:
        self._blob, self._fetch = blob, fetch
        self._hash = blob.digest.hasher()
        self._received = 0
        self._resumes = 0
        self._decode = False
        self._response: RegistryResponse | None = None
        self._positioned = False
        self._chunk = memoryview(b"")
        self._ahead: bytes | None = None  # one chunk is held back, so that the last is known as such

    def readable(self) -> bool:
        """Always true."""
        return True

    def readinto(self, buffer: WriteableBuffer) -> int:
        """Fill ``buffer`` as far as one chunk goes; 0 at the end of a blob that is right."""
        target = memoryview(buffer).cast("B")
        if not self._chunk:
            ahead = self._next() if self._ahead is None else self._ahead
            self._ahead = self._next() if ahead else b""
            self._chunk = memoryview(ahead)
        count = min(len(target), len(self._chunk))
        target[:count] = self._chunk[:count]
        self._chunk = self._chunk[count:]
        return count

    def close(self) -> None:
        """End the connection, whether all was read or not."""
        if self._response:
            self._response.close()
            self._response = None
        super().close()

    def _next(self) -> bytes:
        """The next verified-so-far chunk from the network; b"" once everything has come and is right."""
        while True:
            if self._response is None:
                self._response = self._fetch(self._received)  # has its own tries
                self._positioned = False
            try:
                if not self._positioned:
                    self._skip_to_missing(self._response)
                    self._positioned = True
                data = self._response.read(CHUNK_BYTES, decode=self._decode)
                if data or not self._short:
                    break
                raise Unreachable(messages.BLOB_ENDED_EARLY(), messages.TRY_AGAIN())
            except Unreachable as broken:
                self._resume(broken)
        self._received += len(data)
        self._hash.update(data)
        limit = self._blob.size if self._blob.size_known else MAX_UNSIZED_BYTES
        if self._received > limit:
            raise self._mismatch(messages.BLOB_LONGER(digest=self._short_digest, limit=limit))
        if not data and not self._blob.digest.names(self._hash):
            raise self._mismatch(messages.BLOB_DIGEST_MISMATCH(digest=self._short_digest))
        return data

    @property
    def _short(self) -> bool:
        return self._blob.size_known and self._received < self._blob.size

    def _resume(self, broken: Unreachable) -> None:
        self._resumes += 2 if isinstance(broken, TimedOut) else 1  # a peer that hangs is given up after a minute
        if self._response:
            self._response.close()
            self._response = None
        if self._resumes > MAX_RESUMES or not broken.retry:
            raise Truncated(
                messages.BLOB_BROKE_REPEATEDLY(name=self._name),
                messages.CHECK_NETWORK_AND_PROXIES(),
            ) from broken

    def _skip_to_missing(self, response: RegistryResponse) -> None:
        """Come to the first byte that is missing."""
        if response.status == 416:
            if self._short:
                raise Unreachable(messages.REST_OF_BLOB_MISSING(), messages.TRY_AGAIN())
            return
        start = 0
        if response.status == 206:
            found = CONTENT_RANGE.match(response.headers.get("Content-Range", ""))
            if not found or int(found[1]) != self._received:
                raise MalformedResponse(messages.ANOTHER_PART_OF_BLOB(name=self._name), _PROXY)
            start = self._received
        length = response.headers.get("Content-Length", "")
        total = start + int(length) if length.isdecimal() and len(length) < 20 else None
        fits = not self._blob.size_known or total == self._blob.size
        # Bytes that a store labels gzip are the blob itself; those that a proxy has compressed must be unpacked first.
        self._decode = bool(response.headers.get("Content-Encoding")) and not fits
        if total is not None and not fits and not self._decode:
            raise self._mismatch(
                messages.BLOB_SIZE_MISMATCH(digest=self._short_digest, total=total, size=self._blob.size)
            )
        self._skip(response, self._received - start)

    def _skip(self, response: RegistryResponse, count: int) -> None:
        """Read again what was given already, where the server ignores Range; it must be the same."""
        again = self._blob.digest.hasher()
        while count:
            data = response.read(min(CHUNK_BYTES, count), decode=self._decode)
            if not data:
                raise Unreachable(messages.BLOB_ENDED_EARLY(), messages.TRY_AGAIN())
            again.update(data)
            count -= len(data)
            if not count and again.digest() != self._hash.digest():
                raise self._mismatch(messages.BLOB_CHANGED(digest=self._short_digest))

    @property
    def _name(self) -> Message:
        return messages.BLOB(digest=self._short_digest)

    @property
    def _short_digest(self) -> str:
        return f"{self._blob.digest.algorithm}:{self._blob.digest.encoded[:12]}…"

    def _mismatch(self, reason: Message) -> DigestMismatch:
        return DigestMismatch(reason, messages.DAMAGED_ON_THE_WAY())


_PROXY = messages.CHECK_PROXIES_AND_STORAGE()
