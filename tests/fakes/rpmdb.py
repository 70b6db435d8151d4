"""Databases of rpm, as its three backends write them: SQLite, ndb and Berkeley DB. Small, and whole."""

from __future__ import annotations

import contextlib
import sqlite3
import struct
import tempfile
from collections.abc import Sequence
from pathlib import Path

Package = tuple[str, str, str]  # name, version, release

STRING, INT32 = 6, 4
NAME, VERSION, RELEASE, SIZE, VENDOR, LICENSE, ARCH, SOURCE = 1000, 1001, 1002, 1009, 1011, 1014, 1022, 1044
PAGE_BYTES = 4096


def header(package: Package) -> bytes:
    """A header (lib/header.c of rpm): counts, index entries of 16 bytes, data."""
    name, version, release = package
    data, index = b"", b""
    for tag, value in (
        (NAME, name),
        (VERSION, version),
        (RELEASE, release),
        (SIZE, 1),
        (VENDOR, "Vendor"),
        (LICENSE, "MIT"),
        (ARCH, "x86_64"),
        (SOURCE, f"{name}-{version}-{release}.src.rpm"),
    ):
        if isinstance(value, int):
            data += bytes(-len(data) % 4)
        index += struct.pack(">IIII", tag, INT32 if isinstance(value, int) else STRING, len(data), 1)
        data += struct.pack(">I", value) if isinstance(value, int) else value.encode() + b"\x00"
    return struct.pack(">II", len(index) // 16, len(data)) + index + data


def sqlite(packages: Sequence[Package]) -> bytes:
    """``rpmdb.sqlite``."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "rpmdb.sqlite"
        with contextlib.closing(sqlite3.connect(path)) as database, database:
            database.execute("CREATE TABLE Packages (hnum INTEGER PRIMARY KEY AUTOINCREMENT, blob BLOB NOT NULL)")
            database.executemany("INSERT INTO Packages (blob) VALUES (?)", [(header(one),) for one in packages])
        return path.read_bytes()


def ndb(packages: Sequence[Package]) -> bytes:
    """``Packages.db`` (lib/backend/ndb/rpmpkg.c): a page of slots, then the blobs in blocks of 16 bytes."""
    slots = struct.pack("<4sIIII", b"RpmP", 0, 1, 1, len(packages) + 1).ljust(32, b"\x00")
    blobs = b""
    for number, one in enumerate(packages, 1):
        blob = header(one)
        whole = struct.pack("<4sIII", b"BlbS", number, 1, len(blob)) + blob
        whole += bytes(-(len(whole) + 12) % 16) + struct.pack("<II4s", 0, len(blob), b"BlbE")
        slots += struct.pack("<4sIII", b"Slot", number, (PAGE_BYTES + len(blobs)) // 16, len(whole) // 16)
        blobs += whole
    while len(slots) < PAGE_BYTES:
        slots += struct.pack("<4sIII", b"Slot", 0, 0, 0)
    return slots + blobs


def berkeley(packages: Sequence[Package]) -> bytes:
    """``Packages`` (dbinc/db_page.h of Berkeley DB): a meta page, a hash page, an overflow page for each package."""
    last = len(packages) + 1
    meta = struct.pack(
        "<8xIIIIBBBxIIIIII20x", 0, 0x061561, 9, PAGE_BYTES, 0, 8, 0, 0, last, 0, len(packages), len(packages), 0
    )
    entries = b""
    places = []
    for number, one in enumerate(packages, 1):
        for entry in (
            struct.pack("<BI", 1, number),
            struct.pack("<B3xII", 3, number + 1, len(header(one))),
        ):
            entries = entry + entries
            places.append(PAGE_BYTES - len(entries))
    table = struct.pack("<8xIIIHHBB", 1, 0, 0, len(places), PAGE_BYTES - len(entries), 0, 13)
    table += struct.pack(f"<{len(places)}H", *places)
    pages = [meta.ljust(PAGE_BYTES, b"\x00"), table + bytes(PAGE_BYTES - len(table) - len(entries)) + entries]
    for number, one in enumerate(packages, 2):
        page = struct.pack("<8xIIIHHBB", number, 0, 0, 1, len(header(one)), 0, 7) + header(one)
        pages.append(page.ljust(PAGE_BYTES, b"\x00"))
    return b"".join(pages)
