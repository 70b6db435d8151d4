"""Writes bbolt files; ``scanning.engines.trivy.bbolt`` reads them and describes the format."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TypeAlias

from scanning.engines.trivy.bbolt import (
    BRANCH,
    BRANCH_ELEMENT,
    BUCKET_HEADER,
    FREELIST,
    LEAF,
    LEAF_ELEMENT,
    MAGIC,
    META,
    META_BODY,
    PAGE_HEADER,
    SUB_BUCKET_FLAG,
    VERSION,
    fnv1a,
)

PAGE_BYTES = 4096
INLINE_LIMIT_BYTES = PAGE_BYTES // 4  # as bbolt: a larger nested bucket gets pages of its own
MAX_KEY_BYTES = 32768

Tree: TypeAlias = Mapping[bytes, "bytes | Tree"]


def write(path: Path, tree: Tree) -> None:
    """Write a file whose buckets are the mappings in ``tree``; its own values must be mappings, as bbolt has it.

    Raises ValueError for a key that is empty or longer than 32,768 bytes, and for a value outside a bucket.
    """
    if any(isinstance(value, bytes) for value in tree.values()):
        raise ValueError("a bbolt file holds values in buckets only")
    writer = _Writer()
    root = writer.bucket(tree)
    path.write_bytes(writer.file(root))


class _Writer:
    """Gathers data pages from page 3 on; a bucket's children are written before it, so that their pages are known."""

    def __init__(self) -> None:
        self._data = bytearray()

    def bucket(self, tree: Tree) -> int:
        """Write the pages of a bucket and return its root page."""
        elements = [self._element(key, tree[key]) for key in sorted(tree)]
        level = [(keys[0], self._add(page)) for keys, page in _leaves(elements)]
        while len(level) > 1:
            level = [(keys[0], self._add(page)) for keys, page in _branches(level)]
        return level[0][1]

    def file(self, root: int) -> bytes:
        """Return the whole file: two meta pages (of one transaction each), an empty freelist, the data."""
        pages = 3 + len(self._data) // PAGE_BYTES
        metas = b"".join(_meta_page(number, root, pages) for number in (0, 1))
        return metas + _padded(PAGE_HEADER.pack(2, FREELIST, 0, 0)) + bytes(self._data)

    def _element(self, key: bytes, value: bytes | Tree) -> tuple[int, bytes, bytes]:
        if not 0 < len(key) <= MAX_KEY_BYTES:
            raise ValueError(f"a key of {len(key)} bytes")
        if isinstance(value, bytes):
            return 0, key, value
        if all(isinstance(inner, bytes) for inner in value.values()):
            [(_keys, page), *more] = _leaves([self._element(inner, value[inner]) for inner in sorted(value)])
            if not more and len(page) + BUCKET_HEADER.size <= INLINE_LIMIT_BYTES:
                return SUB_BUCKET_FLAG, key, BUCKET_HEADER.pack(0, 0) + page
        return SUB_BUCKET_FLAG, key, BUCKET_HEADER.pack(self.bucket(value), 0)

    def _add(self, page: bytes) -> int:
        number = 3 + len(self._data) // PAGE_BYTES
        page = _padded(page)
        _id, flags, count, _overflow = PAGE_HEADER.unpack_from(page)
        self._data += PAGE_HEADER.pack(number, flags, count, len(page) // PAGE_BYTES - 1) + page[PAGE_HEADER.size :]
        return number


def _leaves(elements: list[tuple[int, bytes, bytes]]) -> Iterator[tuple[list[bytes], bytes]]:
    """Yield keys and bytes of the leaf pages. A page holds what fits; an element that fits none makes it run over."""
    sizes = [LEAF_ELEMENT.size + len(key) + len(value) for _flags, key, value in elements]
    for start, end in _filled(sizes):
        chosen = elements[start:end]
        heads, bodies, position = [], [], len(chosen) * LEAF_ELEMENT.size
        for flags, key, value in chosen:
            heads.append(LEAF_ELEMENT.pack(flags, position, len(key), len(value)))
            bodies.append(key + value)
            position += len(key) + len(value) - LEAF_ELEMENT.size  # counted from the next element
        keys = [key for _flags, key, _value in chosen] or [b""]
        yield keys, PAGE_HEADER.pack(0, LEAF, len(chosen), 0) + b"".join(heads + bodies)


def _branches(children: list[tuple[bytes, int]]) -> Iterator[tuple[list[bytes], bytes]]:
    for start, end in _filled([BRANCH_ELEMENT.size + len(key) for key, _page in children], least=2):
        chosen = children[start:end]
        heads, bodies, position = [], [], len(chosen) * BRANCH_ELEMENT.size
        for key, page in chosen:
            heads.append(BRANCH_ELEMENT.pack(position, len(key), page))
            bodies.append(key)
            position += len(key) - BRANCH_ELEMENT.size
        yield [key for key, _page in chosen], PAGE_HEADER.pack(0, BRANCH, len(chosen), 0) + b"".join(heads + bodies)


def _filled(sizes: list[int], least: int = 1) -> Iterator[tuple[int, int]]:
    """Yield (start, end) of runs that fit a page, each of ``least`` elements or more; one empty run for no elements."""
    start, used = 0, PAGE_HEADER.size
    for index, size in enumerate(sizes):
        if used + size > PAGE_BYTES and index - start >= least and len(sizes) - index >= least:
            yield start, index
            start, used = index, PAGE_HEADER.size
        used += size
    yield start, len(sizes)


def _meta_page(number: int, root: int, pages: int) -> bytes:
    body = META_BODY.pack(MAGIC, VERSION, PAGE_BYTES, 0, root, 0, 2, pages, number)
    return _padded(PAGE_HEADER.pack(number, META, 0, 0) + body + fnv1a(body).to_bytes(8, "little"))


def _padded(page: bytes) -> bytes:
    return page + bytes(-len(page) % PAGE_BYTES)
