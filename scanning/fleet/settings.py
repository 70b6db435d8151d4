"""What must be the same on all machines for them to find the same in an image, compared with the primary machine."""

from __future__ import annotations

from typing import Any

from django.conf import settings

from console.machines import keys
from console.machines.identity import machine_id
from console.machines.models import FleetVersion
from console.machines.release import VERSION
from scanning import configured_engines
from scanning.engines.base import EngineError
from scanning.engines.yara.ruleset import engine_version
from scanning.fleet import messages
from scanning.fleet.fetch_lock import NotReadyError

SETTING_LABELS = {  # of settings → as on the page Scanners
    "tallyman": "Tallyman",
    "trivy": "Trivy",
    "yara": "YARA-X",
    "own_rules": "Tallyman's own rules",
    "clamav": "ClamAV",
    "clamav_max_bytes": "TALLYMAN_CLAMD_MAX_BYTES",
}


def own_settings() -> dict[str, Any]:
    """Return what must be the same on all machines for them to find the same in an image."""
    try:
        trivy = configured_engines.trivy().engine_version()
    except EngineError:
        trivy = ""
    return {
        "tallyman": VERSION,
        "trivy": trivy,
        "yara": engine_version(),
        "own_rules": configured_engines.RULES_SHA256[:16],
        "clamav": "on" if settings.CLAMD else "off",
        "clamav_max_bytes": settings.CLAMD_MAX_BYTES if settings.CLAMD else 0,
        "keys": keys.check_values(),
    }


def check_settings(primary: FleetVersion | None) -> None:
    """Raise NotReadyError where keys or settings are not those of the primary machine."""
    if primary is None or primary.machine == machine_id():
        return
    if wrong := differing_keys(primary):
        raise keys_error(wrong, primary)
    mine = own_settings()
    differs = [
        messages.DIFFERENCE(what=name, here=mine[key] or messages.MISSING(), there=primary.values[key])
        for key, name in SETTING_LABELS.items()
        if primary.values.get(key) and primary.values[key] != mine[key]
    ]
    if differs:
        raise NotReadyError(
            messages.DIFFERS_FROM_PRIMARY(host=primary.host, differs=tuple(differs)),
            messages.INSTALL_THE_SAME(),
        )


def differing_keys(primary: FleetVersion) -> list[str]:
    """Return the names of the keys of this machine that are not those of the primary one."""
    theirs = primary.values.get("keys") or {}
    return [name for name, value in keys.check_values().items() if theirs.get(name, value) != value]


def keys_error(wrong: list[str], primary: FleetVersion) -> NotReadyError:
    """Return what to say where the keys of these names differ."""
    return NotReadyError(
        messages.KEYS_DIFFER(host=primary.host, names=", ".join(wrong)),
        messages.COPY_KEYS(host=primary.host, folder=settings.DATA_DIR),
    )
