"""Whether the databases of package managers in a layer are whole: dpkg, apk, and rpm with its three kinds of files.

Trivy reads what it can of a damaged one and says nothing of the rest, or takes none for no packages at all. Each file
is looked at from outside here: its kind, its head, its tail, and the sizes that it states. Only a file of text is read.
"""

from __future__ import annotations

import enum
import mmap
import re
import struct
from collections.abc import Callable, Collection, Iterable, Mapping
from pathlib import Path

from scanning.engines.base import StopCheck
from scanning.engines.formats import tar

DPKG, APK, RPM = "dpkg", "apk", "rpm"
MAX_TEXT_BYTES = 64 * 1024**2  # bytes of a database that is read; that of a desktop has 5 MB
CHECK_EVERY_ENTRIES = 512  # entries of a layer

# Where Trivy 0.76 looks (pkg/fanal/analyzer/pkg of its sources).
DATABASE_PATHS = {
    "var/lib/dpkg/status": DPKG,
    "lib/apk/db/installed": APK,
    "usr/lib/apk/db/installed": APK,
    **{
        f"{folder}/{name}": RPM
        for folder in ("var/lib/rpm", "usr/lib/sysimage/rpm")
        for name in ("Packages", "Packages.db", "rpmdb.sqlite")
    },
    "var/lib/rpmmanifest/container-manifest-2": RPM,
}
_FILE_NAMES = tuple(sorted({path.rsplit("/", 1)[1].encode() for path in DATABASE_PATHS}))

# Families of operating systems as Trivy names them → their package manager. Of others it names no packages anyway.
MANAGER_BY_FAMILY = {
    **dict.fromkeys(("debian", "ubuntu", "echo"), DPKG),
    **dict.fromkeys(("alpine", "wolfi", "chainguard", "minimos"), APK),
    **dict.fromkeys(
        (
            *("alma", "amazon", "azurelinux", "cbl-mariner", "centos", "opensuse", "opensuse-leap"),
            *("opensuse-tumbleweed", "opensuse.leap", "opensuse.tumbleweed", "oracle", "photon", "redhat", "rocky"),
            *("sles", "slem", "slemicro", "suse linux enterprise server", "suse linux enterprise micro"),
        ),
        RPM,
    ),
}


class Damage(enum.StrEnum):
    """What is wrong with a package database; WHOLE where nothing is."""

    WHOLE = ""
    EMPTY = "empty"
    CUT_OFF = "cut-off"
    UNREADABLE = "unreadable"
    NO_FILE = "no-file"  # a link, a folder or a device stands in its place
    MISSING = "missing"  # of a whole image: there is none
    NO_PACKAGES = "no-packages"  # of a whole image: it looks whole, and no packages came out of it


def inspect_layer(layer: Path, *, also: Collection[str] = (), check: StopCheck) -> tuple[dict[str, str], set[str]]:
    """Return the package databases in the uncompressed ``layer``, path → Damage, and those of the paths ``also``
    that are in it. Raises what ``check`` does."""
    found: dict[str, str] = {}
    others: set[str] = set()
    if not layer.stat().st_size:
        return found, others
    with layer.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        try:
            for number, entry in enumerate(tar.walk(data)):
                if number % CHECK_EVERY_ENTRIES == 0:
                    check()
                if entry.name.rstrip(b"/").endswith(_FILE_NAMES) and (manager := DATABASE_PATHS.get(entry.path)):
                    found[entry.path] = _damage(data, entry, manager)
                if also and entry.path in also:
                    others.add(entry.path)
        except tar.TarError:
            pass  # Trivy fails at such a layer
    return found, others


def databases_of_image(layers: Iterable[tuple[Mapping[str, str], Collection[str]]]) -> dict[str, str]:
    """Return the databases that an image shows: path → Damage.

    ``layers`` are from the base upwards: the databases of each, and the paths below which it hides what lies under it.
    """
    shown: dict[str, str] = {}
    for databases, hidden in layers:
        for gone in hidden:
            for path in [path for path in shown if path == gone or path.startswith(f"{gone}/")]:
                del shown[path]
        shown |= databases
    return shown


def damage_of_image(family: str, shown: Mapping[str, str], *, has_packages: bool) -> tuple[str, Damage]:
    """Return which database of an image is damaged and how: ("", WHOLE) where none is.

    ``family`` is the operating system as Trivy names it, "" where there is none: then nothing is expected.
    ``has_packages`` says whether packages of the system were found: then one that is empty or no file hides nothing,
    for the packages are told of elsewhere (``status.d``) or by a layer below it.
    """
    own = {
        path: Damage(how)
        for path, how in sorted(shown.items())
        if DATABASE_PATHS.get(path) == MANAGER_BY_FAMILY.get(family)
    }
    for path, how in own.items():
        if how in (Damage.CUT_OFF, Damage.UNREADABLE) or (how and not has_packages):
            return path, how
    if has_packages or family not in MANAGER_BY_FAMILY:
        return "", Damage.WHOLE
    return (next(iter(own)), Damage.NO_PACKAGES) if own else ("", Damage.MISSING)


def _damage(data: mmap.mmap, entry: tar.TarEntry, manager: str) -> Damage:
    if entry.type is tar.EntryType.HARD_LINK:
        return Damage.WHOLE  # the same bytes as another path's; whether Trivy reads them shows in the packages
    if not entry.is_file:
        return Damage.NO_FILE
    if not entry.size:
        return Damage.EMPTY
    if entry.segments is not None:
        return Damage.UNREADABLE  # sparse: a manager writes none
    if manager == RPM:
        if entry.path.endswith("container-manifest-2"):
            return Damage.WHOLE
        end = entry.offset + entry.size
        return _rpm_damage(
            entry.path, entry.size, lambda at, size: data[entry.offset + at : min(end, entry.offset + at + size)]
        )
    if entry.size > MAX_TEXT_BYTES:
        return Damage.UNREADABLE
    return _text_damage(tar.read(data, entry), manager=manager)


# Neither a field nor a line that goes on with one nor an empty one.
_INVALID_LINE = re.compile(rb"^(?![^\s:]+:|[ \t]|\r?$)", re.MULTILINE)
_NOT_INSTALLED = re.compile(rb"^Status:.*not-installed", re.MULTILINE)


def _text_damage(text: bytes, *, manager: str) -> Damage:
    """Return what is wrong with a database of entries of lines, with an empty line between two of them."""
    if not text.strip():
        return Damage.EMPTY
    if b"\x00" in text or _INVALID_LINE.search(text):
        return Damage.CUT_OFF if _is_cut(text) else Damage.UNREADABLE
    last = b"\n" + text[text.rstrip().rfind(b"\n\n") + 1 :]
    name, version = (b"\nPackage:", b"\nVersion:") if manager == DPKG else (b"\nP:", b"\nV:")
    whole = name in last and (version in last or _NOT_INSTALLED.search(last) is not None)
    return Damage.WHOLE if whole and text.endswith(b"\n") else Damage.CUT_OFF


def _is_cut(text: bytes) -> bool:
    """Return whether only the last line is none: the file ends within it."""
    found = _INVALID_LINE.search(text)
    return b"\x00" not in text and found is not None and b"\n" not in text[found.start() :]


SQLITE_MAGIC = b"SQLite format 3\x00"
BDB_HASH_MAGIC, BDB_BTREE_MAGIC = 0x061561, 0x053162
NDB_MAGIC, NDB_SLOT_MAGIC = b"RpmP", b"Slot"
NDB_SLOT_BYTES, NDB_BLOCK_BYTES, NDB_SLOTS_PER_PAGE = 16, 16, 256
MAX_NDB_PAGES = 4096  # 16 MB of slots: a million packages

ReadRange = Callable[[int, int], bytes]  # from an offset, so many


def _rpm_damage(path: str, size: int, read: ReadRange) -> Damage:
    if path.endswith(".sqlite"):
        return _sqlite_damage(size, read)
    return _ndb_damage(size, read) if path.endswith(".db") else _bdb_damage(size, read)


def _sqlite_damage(size: int, read: ReadRange) -> Damage:
    """https://www.sqlite.org/fileformat.html, 1.3: the number of pages counts where both change counters agree."""
    head = read(0, 100)
    if len(head) < 100 or not head.startswith(SQLITE_MAGIC):
        return Damage.UNREADABLE if len(head) >= len(SQLITE_MAGIC) else Damage.CUT_OFF
    page, pages = int.from_bytes(head[16:18], "big"), int.from_bytes(head[28:32], "big")
    page = 65536 if page == 1 else page
    return Damage.CUT_OFF if head[24:28] == head[92:96] and size < page * pages else Damage.WHOLE


def _bdb_damage(size: int, read: ReadRange) -> Damage:
    """The meta page of Berkeley DB 4 and 5 (dbinc/db_page.h): magic at 12, page size at 20, last page at 32."""
    head = read(0, 72)
    if len(head) < 72:
        return Damage.CUT_OFF
    for order in "<>":
        magic, _version, page = struct.unpack_from(f"{order}III", head, 12)
        if magic in (BDB_HASH_MAGIC, BDB_BTREE_MAGIC):
            (last,) = struct.unpack_from(f"{order}I", head, 32)
            return Damage.CUT_OFF if size < (last + 1) * page else Damage.WHOLE
    return Damage.UNREADABLE


def _ndb_damage(size: int, read: ReadRange) -> Damage:
    """rpm's lib/backend/ndb/rpmpkg.c: a header of 32 bytes with the number of slot pages, slots of 16 bytes, blobs."""
    head = read(0, 32)
    if len(head) < 32:
        return Damage.CUT_OFF
    _version, _generation, pages = struct.unpack_from("<III", head, 4)
    if not head.startswith(NDB_MAGIC) or not 0 < pages <= MAX_NDB_PAGES:
        return Damage.UNREADABLE
    slots = read(0, pages * NDB_SLOTS_PER_PAGE * NDB_SLOT_BYTES)
    if len(slots) < pages * NDB_SLOTS_PER_PAGE * NDB_SLOT_BYTES:
        return Damage.CUT_OFF
    for at in range(2 * NDB_SLOT_BYTES, len(slots), NDB_SLOT_BYTES):  # the header takes the place of two
        magic, _package, offset, count = struct.unpack_from("<4sIII", slots, at)
        if magic != NDB_SLOT_MAGIC:
            return Damage.UNREADABLE
        if offset and (offset + count) * NDB_BLOCK_BYTES > size:
            return Damage.CUT_OFF
    return Damage.WHOLE
