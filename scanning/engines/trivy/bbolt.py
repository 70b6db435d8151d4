"""Reads bbolt files, the key-value format of Trivy's databases (go.etcd.io/bbolt, version 2, little-endian).

A file is a row of pages. Pages 0 and 1 are meta pages, of which the valid one with the higher transaction counts; they
name the root bucket, a B+tree of branch and leaf pages. A bucket in a bucket is a leaf element, small ones inline.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

MAGIC, VERSION = 0xED0CDAED, 2
BRANCH, LEAF, META, FREELIST = 0x01, 0x02, 0x04, 0x10
SUB_BUCKET_FLAG = 0x01  # flag of a leaf element

PAGE_HEADER = struct.Struct("<QHHI")  # id, flags, count, overflow
META_BODY = struct.Struct(
    "<IIIIQQQQQ"
)  # magic, version, page size, flags, root, sequence, freelist, pages, transaction
BRANCH_ELEMENT = struct.Struct("<IIQ")  # position (from the element), key size, page
LEAF_ELEMENT = struct.Struct("<IIII")  # flags, position, key size, value size
BUCKET_HEADER = struct.Struct("<QQ")  # root page (0: inline), sequence

MAX_PAGE_BYTES = 64 * 1024
MAX_TREE_DEPTH = 64


class BboltError(ValueError):
    """The file is no bbolt file, or a damaged one."""


@dataclass(frozen=True)
class Meta:
    """What a meta page says: page size, root bucket's page, number of pages, transaction."""

    page_size: int
    root: int
    pages: int
    transaction: int


def fnv1a(data: bytes) -> int:
    """Return the 64-bit FNV-1a hash, which bbolt puts at the end of a meta page."""
    digest = 0xCBF29CE484222325
    for byte in data:
        digest = ((digest ^ byte) * 0x100000001B3) & 0xFFFFFFFFFFFFFFFF
    return digest


def read_meta(path: Path) -> Meta:
    """Return the meta page that counts. Raises BboltError where none is valid or the file is cut off, OSError."""
    with path.open("rb") as file:
        return _meta(file)


def _meta(file: BinaryIO) -> Meta:
    file.seek(0)
    head = file.read(2 * MAX_PAGE_BYTES)
    found = []
    first = _meta_at(head, 0)
    # the page size stands in page 0; where that is damaged, page 1 is looked for at each size there can be
    sizes = [first.page_size] if first else [1 << power for power in range(10, 17)]
    for candidate in (first, *(_meta_at(head, size) for size in sizes)):
        if candidate:
            found.append(candidate)
    if not found:
        raise BboltError("it has no valid meta page")
    meta = max(found, key=lambda candidate: candidate.transaction)
    size = file.seek(0, 2)
    if size < meta.pages * meta.page_size:
        raise BboltError(f"it is cut off: {size} bytes of {meta.pages * meta.page_size}")
    return meta


def _meta_at(head: bytes, offset: int) -> Meta | None:
    body = head[offset + PAGE_HEADER.size : offset + PAGE_HEADER.size + META_BODY.size + 8]
    if len(body) < META_BODY.size + 8:
        return None
    magic, version, page_size, _flags, root, _sequence, _freelist, pages, transaction = META_BODY.unpack_from(body)
    checksum = int.from_bytes(body[META_BODY.size :], "little")
    if (magic, version) != (MAGIC, VERSION) or checksum != fnv1a(body[: META_BODY.size]):
        return None
    if page_size & (page_size - 1) or not 1024 <= page_size <= MAX_PAGE_BYTES:
        return None
    return Meta(page_size, root, pages, transaction)


class Bucket:
    """A bucket of an open file. ``items()`` yields keys with values, or with the Bucket where one is nested."""

    def __init__(self, file: BinaryIO, meta: Meta, root: int, inline: bytes = b"") -> None:
        self._file, self._meta, self._root, self._inline = file, meta, root, inline

    @classmethod
    def open(cls, file: BinaryIO) -> Bucket:
        """Return the root bucket. Raises BboltError."""
        meta = _meta(file)
        return cls(file, meta, meta.root)

    def items(self) -> Iterator[tuple[bytes, bytes | Bucket]]:
        """Yield everything in the order of the keys. Raises BboltError where a page is damaged."""
        previous = b""
        for key, value in self._walk(self._inline if not self._root else self._page(self._root), 0):
            if key <= previous:
                raise BboltError("its keys are out of order")
            previous = key
            yield key, value

    def __getitem__(self, key: bytes) -> bytes | Bucket:
        """Return what stands at ``key``, reading one page of each level. Raises KeyError, BboltError."""
        page = self._inline if not self._root else self._page(self._root)
        try:
            for _depth in range(MAX_TREE_DEPTH):
                _id, flags, count, _overflow = PAGE_HEADER.unpack_from(page)
                if flags & LEAF:
                    offset = PAGE_HEADER.size + LEAF_ELEMENT.size * self._place(page, key, count, LEAF_ELEMENT)
                    if offset >= PAGE_HEADER.size:
                        found, value = self._element(page, offset)
                        if found == key:
                            return value
                    raise KeyError(key)
                if not flags & BRANCH:
                    raise BboltError("a page of another kind stands where data should be")
                if not count:
                    raise KeyError(key)
                place = max(self._place(page, key, count, BRANCH_ELEMENT), 0)
                _position, _size, child = BRANCH_ELEMENT.unpack_from(
                    page, PAGE_HEADER.size + place * BRANCH_ELEMENT.size
                )
                page = self._page(child)
        except struct.error as error:
            raise BboltError("a page is cut off") from error
        raise BboltError("its pages form a circle")

    @staticmethod
    def _place(page: bytes, key: bytes, count: int, element: struct.Struct) -> int:
        """Return the index of the last element of a page whose key is not above ``key``; -1 where there is none."""
        low, high = 0, count
        while low < high:
            middle = (low + high) // 2
            offset = PAGE_HEADER.size + middle * element.size
            told = element.unpack_from(page, offset)
            position, size = (told[0], told[1]) if element is BRANCH_ELEMENT else (told[1], told[2])
            if page[offset + position : offset + position + size] <= key:
                low = middle + 1
            else:
                high = middle
        return low - 1

    def bucket(self, key: bytes) -> Bucket:
        """Return the nested bucket of that name. Raises KeyError, also where the key holds a value."""
        value = self[key]
        if isinstance(value, Bucket):
            return value
        raise KeyError(key)

    def _page(self, number: int) -> bytes:
        size = self._meta.page_size
        if not 2 <= number < self._meta.pages:
            raise BboltError(f"page {number} lies outside")
        self._file.seek(number * size)
        page = self._file.read(size)
        found, _flags, _count, overflow = PAGE_HEADER.unpack_from(page)
        if found != number:
            raise BboltError(f"page {number} is overwritten")
        if number + overflow >= self._meta.pages:
            raise BboltError(f"page {number} runs over the end")
        return page + self._file.read(overflow * size)

    def _walk(self, page: bytes, depth: int) -> Iterator[tuple[bytes, bytes | Bucket]]:
        if depth > MAX_TREE_DEPTH:
            raise BboltError("its pages form a circle")
        try:
            _id, flags, count, _overflow = PAGE_HEADER.unpack_from(page)
            for index in range(count):
                if flags & BRANCH:
                    _position, _size, child = BRANCH_ELEMENT.unpack_from(
                        page, PAGE_HEADER.size + index * BRANCH_ELEMENT.size
                    )
                    yield from self._walk(self._page(child), depth + 1)
                elif flags & LEAF:
                    yield self._element(page, PAGE_HEADER.size + index * LEAF_ELEMENT.size)
                else:
                    raise BboltError("a page of another kind stands where data should be")
        except struct.error as error:
            raise BboltError("a page is cut off") from error

    def _element(self, page: bytes, offset: int) -> tuple[bytes, bytes | Bucket]:
        flags, position, key_size, value_size = LEAF_ELEMENT.unpack_from(page, offset)
        start = offset + position
        key, value = page[start : start + key_size], page[start + key_size : start + key_size + value_size]
        if len(value) != value_size:
            raise BboltError("an element runs over its page")
        if not flags & SUB_BUCKET_FLAG:
            return key, value
        root, _sequence = BUCKET_HEADER.unpack_from(value)
        return key, Bucket(self._file, self._meta, root, value[BUCKET_HEADER.size :])
