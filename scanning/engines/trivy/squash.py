"""What an image holds, told from Trivy's own records of its layers without a run of Trivy.

A layer hides what lies below it: a file that it brings again, removes (a whiteout) or covers (an opaque folder). What
Trivy makes of that (``pkg/fanal/applier`` of its sources, 0.76) is done here for what such images have in common; an
image that takes more is not stacked, and Trivy itself is asked.
"""

from __future__ import annotations

import json
import threading
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from scanning.engines.trivy.cache import CachedLayer
from scanning.engines.trivy.match import RAPIDFORT_MARK, is_patched
from scanning.engines.trivy.report import secrets_in
from scanning.engines.trivy.secrets import FoundSecret

# Types of packages of which Trivy makes one list for an image; the packages themselves say where they lie.
AGGREGATED = frozenset(("python-pkg", "conda-pkg", "gemspec", "node-pkg", "jar"))
PARSED_CACHE_BYTES = 2 * 1024**2  # of records that are kept parsed, which takes some ten times as much memory
LAYER_SCHEMA = 2  # of Trivy's records of layers
_OS_PACKAGES = "type:ospkg"
_DPKG_LICENSES = "dpkg"
_IMAGE_SPECIFIC_KEYS = ("ID", "Layer", "FilePath", "Licenses", "DependsOn", "InstalledFiles", "Locations", "Digest")

Json = dict[str, Any]


class _ParsedRecordCache:
    """Records as they are parsed, to be read alone: those of bases are needed again and again. For all threads."""

    def __init__(self) -> None:
        self._kept: OrderedDict[bytes, Json] = OrderedDict()  # the last one used at the end
        self._bytes = 0
        self._lock = threading.Lock()

    def of(self, record: bytes) -> Json:
        """Return ``record`` parsed. Raises ValueError or RecursionError where it is no JSON."""
        with self._lock:
            if (parsed := self._kept.get(record)) is not None:
                self._kept.move_to_end(record)
                return parsed
        parsed = json.loads(record)
        if isinstance(parsed, dict) and len(record) <= PARSED_CACHE_BYTES // 2:
            with self._lock:
                if record not in self._kept:
                    self._kept[record] = parsed
                    self._bytes += len(record)
                while self._bytes > PARSED_CACHE_BYTES:
                    gone, _parsed = self._kept.popitem(last=False)
                    self._bytes -= len(gone)
        return parsed


_parsed_records = _ParsedRecordCache()


class NotSquashable(Exception):
    """The image has something of which its layers' records do not say enough."""


@dataclass(frozen=True)
class SquashedPackage:
    """A package of an image: what Trivy knows of it wherever it lies, and where it lies here."""

    record: Json  # with the member ``Type`` where it is none of the operating system
    path: str
    diff_id: str  # of the layer that brought it
    licenses: tuple[str, ...]


@dataclass(frozen=True)
class SquashedImage:
    """What an image holds. ``system`` is as ImageReport has it: "" where there is no operating system."""

    system: str
    packages: tuple[SquashedPackage, ...]
    secrets: tuple[FoundSecret, ...]


def squash(layers: Sequence[tuple[str, CachedLayer]]) -> SquashedImage:
    """Return what an image of these layers holds: diff IDs with their notes, from the base upwards.

    Raises NotSquashable where only Trivy can tell.
    """
    try:
        return _squash([(diff_id, note.record, _parsed_records.of(note.record)) for diff_id, note in layers])
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise NotSquashable("a record of a form that is not known") from error


def _squash(layers: Sequence[tuple[str, bytes, Json]]) -> SquashedImage:
    files: Json = {}  # folders as dictionaries; what lies in a file by the file's path and a name of its kind
    origins: dict[tuple[object, ...], str] = {}  # first layer with a package
    secrets: dict[str, list[FoundSecret]] = {}  # by path
    systems: list[Json] = []
    repository: Json | None = None
    for diff_id, raw, record in layers:
        if record["SchemaVersion"] != LAYER_SCHEMA or record["DiffID"] != diff_id:
            raise NotSquashable("a record of a form that is not known")
        if RAPIDFORT_MARK in raw or record.get("BuildInfo") or record.get("CustomResources"):
            raise NotSquashable("packages that are matched by more than themselves and their system")
        for path in (*(each.removesuffix("/") for each in record.get("OpaqueDirs") or ()), *_whiteouts(record)):
            _remove(files, path)
        system = {name: value for name, value in (record.get("OS") or {}).items() if name != "EOSL"}
        if any(system.values()) and system not in systems:
            systems.append(system)
        repository = record.get("Repository") or repository
        for group in record.get("PackageInfos") or ():
            _put(files, f"{group.get('FilePath') or ''}/{_OS_PACKAGES}", group)
            for package in group.get("Packages") or ():
                origins.setdefault(("", *_named(package)), diff_id)
        for group in record.get("Applications") or ():
            _put(files, f"{group.get('FilePath') or ''}/type:{group['Type']}", group)
            for package in group.get("Packages") or ():
                origins.setdefault((group.get("FilePath") or "", *_named(package)), diff_id)
        for found in record.get("Licenses") or ():
            _put(files, f"{found.get('FilePath') or ''}/type:license,{found.get('Type')}", found)
    for diff_id, record in {diff_id: record for diff_id, _raw, record in layers}.items():
        for secret in secrets_in(record, diff_id):
            secrets.setdefault(secret.path, []).append(secret)
    held = list(_remaining_files(files))
    family = str(systems[0].get("Family", "")) if systems else ""
    system_packages = list(_system_packages(held, origins, family))
    if len(systems) > 1 or bool(systems) != bool(system_packages) or (repository and not systems):
        raise NotSquashable("an operating system that several layers tell of, or one without packages")
    described: Json = {"OS": systems[0]} if systems else {}
    if repository:
        described["Repository"] = repository
    return SquashedImage(
        system=json.dumps(described, sort_keys=True, separators=(",", ":")) if described else "",
        packages=(*system_packages, *_applications(held, origins)),
        secrets=tuple(secret for found in secrets.values() for secret in _topmost(found, layers)),
    )


def hidden_paths(note: CachedLayer) -> list[str]:
    """Return the paths that a layer hides of those below it, with all that lies below them."""
    try:
        record = _parsed_records.of(note.record)
        return [str(each).removesuffix("/") for each in (*(record.get("OpaqueDirs") or ()), *_whiteouts(record))]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return []


def _whiteouts(record: Json) -> Sequence[str]:
    return record.get("WhiteoutFiles") or ()


def _named(package: Json) -> tuple[object, ...]:
    return package.get("Name", ""), package.get("Version", ""), package.get("Release", "")


def _put(files: Json, path: str, value: Json) -> None:
    *folders, name = path.split("/")
    for folder in folders:
        files = files.setdefault(folder, {})
    files[name] = (value,)  # a tuple, to tell it from a folder


def _remove(files: Json, path: str) -> None:
    *folders, name = path.split("/")
    for folder in folders:
        below = files.get(folder)
        if not isinstance(below, dict):
            return
        files = below
    files.pop(name, None)


def _remaining_files(files: Json) -> Iterator[tuple[str, Json]]:
    """Yield what is left, each with the name of its kind; a loop, for paths may be deep."""
    todo = [files]
    while todo:
        for name, below in todo.pop().items():
            if isinstance(below, dict):
                todo.append(below)
            else:
                yield name, below[0]


def _system_packages(
    held: Sequence[tuple[str, Json]], origins: Mapping[tuple[object, ...], str], family: str
) -> Iterator[SquashedPackage]:
    packages = [package for name, group in held if name == _OS_PACKAGES for package in group.get("Packages") or ()]
    licenses = {
        found["PkgName"]: tuple(finding["Name"] for finding in found.get("Findings") or ())
        for _name, found in held
        if found.get("Type") == _DPKG_LICENSES and "PkgName" in found
    }
    seen = set()
    for package in packages:
        if (package.get("Identifier") or {}).get("PURL") or package.get("AnalyzedBy") == "sbom":
            raise NotSquashable("a package of the system that a bill of materials tells of")
        version = "-".join(filter(None, (package.get("Version"), package.get("Release"))))
        if is_patched(family, package.get("Name", ""), version, package.get("SrcName", "")):
            raise NotSquashable("a package of a maker who patches those of the system")
        named = package.get("ID") or (package.get("Epoch"), *_named(package))
        if (place := (named, package.get("FilePath", ""))) in seen:
            continue
        seen.add(place)
        own = licenses.get(package.get("Name", ""), tuple(package.get("Licenses") or ()))
        yield SquashedPackage(
            record=_shared_fields(package),
            path=package.get("FilePath", ""),
            diff_id=_layer_of(package) or origins.get(("", *_named(package)), ""),
            licenses=own,
        )


def _applications(
    held: Sequence[tuple[str, Json]], origins: Mapping[tuple[object, ...], str]
) -> Iterator[SquashedPackage]:
    for name, group in held:
        if name == _OS_PACKAGES or name.startswith("type:license,"):
            continue
        for package, path, record in _packages_of(group):
            origin = origins.get((group.get("FilePath") or "", *_named(package)), "")
            yield SquashedPackage(record, path, _layer_of(package) or origin, tuple(package.get("Licenses") or ()))


def language_packages(note: CachedLayer) -> Iterator[tuple[str, Json]]:
    """Yield the packages of programming languages in a layer: where each lies, and its record."""
    try:
        for group in _parsed_records.of(note.record).get("Applications") or ():
            for _package, path, record in _packages_of(group):
                yield path, record
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return


def _packages_of(group: Json) -> Iterator[tuple[Json, str, Json]]:
    kind, path = group["Type"], group.get("FilePath") or ""
    target = path if kind not in AGGREGATED and "/" in path else ""
    for package in group.get("Packages") or ():
        yield package, package.get("FilePath") or target, {**_shared_fields(package), "Type": kind}


def _shared_fields(package: Json) -> Json:
    """Return a package without what differs from image to image."""
    record = {name: value for name, value in package.items() if name not in _IMAGE_SPECIFIC_KEYS and value}
    if purl := (record.pop("Identifier", None) or {}).get("PURL"):
        record["Identifier"] = {"PURL": purl}
    return record


def _layer_of(package: Json) -> str:
    return str((package.get("Layer") or {}).get("DiffID") or "")


def _topmost(found: Sequence[FoundSecret], layers: Sequence[tuple[str, bytes, Json]]) -> Iterator[FoundSecret]:
    """Yield the secrets of one path: of each rule those of the topmost layer that has any, also of a file removed."""
    height = {diff_id: number for number, (diff_id, _raw, _record) in enumerate(layers)}
    top: dict[str, int] = {}
    for secret in found:
        top[secret.rule] = max(top.get(secret.rule, -1), height[secret.diff_id])
    for secret in found:
        if height[secret.diff_id] == top[secret.rule]:
            yield secret
