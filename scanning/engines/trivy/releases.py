"""Which releases of operating systems a vulnerability database has advisories for.

Trivy matches packages with the table of their release, and finds nothing where there is none: a zero that says nothing.
The names of tables are those of Trivy's detectors (``pkg/detector/ospkg`` of its sources, 0.76; trivy-db's vulnsrc).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from pathlib import Path

from scanning.engines.base import EngineError
from scanning.engines.trivy import bbolt, messages
from scanning.engines.trivy.vulndb_folder import INSTALL_REMEDY


def _minor(name: str) -> str:
    return ".".join(name.split(".")[:2])


def _major(name: str) -> str:
    return name.split(".")[0]


def _amazon(name: str) -> str:
    major = _major(name.split(" ")[0])
    return major if major in ("2", "2022", "2023") else "1"


# family as Trivy names it → the table of its release ``name``
TABLE_NAMES: dict[str, Callable[[str], str]] = {
    "alma": lambda name: f"alma {_major(name)}",
    "alpine": lambda name: f"alpine {_minor(name)}",
    "amazon": lambda name: f"amazon linux {_amazon(name)}",
    "azurelinux": lambda name: f"Azure Linux {_minor(name)}",
    "cbl-mariner": lambda name: f"CBL-Mariner {_minor(name)}",
    "centos": lambda _name: "Red Hat",
    "chainguard": lambda _name: "chainguard",
    "debian": lambda name: f"debian {_major(name)}",
    "opensuse-leap": lambda name: f"openSUSE Leap {name}",
    "opensuse.leap": lambda name: f"openSUSE Leap {name}",
    "opensuse-tumbleweed": lambda _name: "openSUSE Tumbleweed",
    "opensuse.tumbleweed": lambda _name: "openSUSE Tumbleweed",
    "oracle": lambda name: f"Oracle Linux {_major(name)}",
    "photon": lambda name: f"Photon OS {name}",
    "redhat": lambda _name: "Red Hat",
    "rocky": lambda name: f"rocky {_major(name)}",
    "ubuntu": lambda name: f"ubuntu {name.removesuffix('-ESM')}",
    "wolfi": lambda _name: "wolfi",
}


def is_listed(folder: Path, system: Mapping[str, object]) -> bool:
    """Return whether the database in ``folder`` has advisories for ``system``, as Trivy describes it.

    True where that cannot be told: no system, or one whose tables are not known here. Raises EngineError.
    """
    family, name = (str(system.get(part) or "") for part in ("Family", "Name"))
    table = TABLE_NAMES.get(family)
    return table is None or bool({table(name), f"{table(name)}-ESM"} & tables(folder))


def is_named_listed(folder: Path, os_name: str) -> bool:
    """Return the same of a system by the name that images have: "debian 12.6". Raises EngineError."""
    family, _space, name = os_name.partition(" ")
    return is_listed(folder, {"Family": family, "Name": name})


def tables(folder: Path) -> frozenset[str]:
    """Return the names of the tables of the database that hold anything. Raises EngineError."""
    path = folder / "trivy.db"
    try:
        status = path.stat()
        return _tables(path, status.st_ino, status.st_size, status.st_mtime_ns)
    except (OSError, bbolt.BboltError) as error:
        raise EngineError(messages.DATABASE_DAMAGED(error=error), INSTALL_REMEDY) from error


@lru_cache(maxsize=4)
def _tables(path: Path, _inode: int, _size: int, _changed: int) -> frozenset[str]:
    with path.open("rb") as file:
        return frozenset(
            key.decode("utf-8", "replace")
            for key, value in bbolt.Bucket.open(file).items()
            if isinstance(value, bbolt.Bucket) and next(value.items(), None) is not None
        )
