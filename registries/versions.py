"""What a registry's API says of its version, without signing in. Harbor alone has versions that the form asks for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from registries.models import Registry
from registries.oci import strict_json
from registries.oci.endpoint import Endpoint
from registries.oci.errors import MalformedAnswer, NotARegistry
from registries.oci.transport import Transport

ANSWER_LIMIT = 256 * 1024


@dataclass(frozen=True)
class Reported:
    """The version that an API reports: a value of Registry.Version, and all of it, such as "v2.11.1-6b7ecba1"."""

    version: str
    full: str


def harbor(endpoint: Endpoint, *, check: Callable[[], None]) -> Reported:
    """Ask Harbor. ``/api/version`` is there from 2.0 on, where it says "v2.0"; V1 has ``/api/systeminfo`` alone.

    Raises NotARegistry where nothing of Harbor answers, and what the network raises.
    """
    transport = Transport(endpoint, check)
    try:
        for version, paths in (
            (Registry.Version.V2, ("/api/version", "/api/v2.0/systeminfo")),
            (Registry.Version.V1, ("/api/systeminfo", "/api/systeminfo")),
        ):
            if _object(transport, endpoint.base + paths[0]) is not None:
                about = _object(transport, endpoint.base + paths[1]) or {}
                return Reported(version, strict_json.text(about.get("harbor_version"), 60))
    finally:
        transport.close()
    raise NotARegistry(
        "No Harbor answers at this address.",
        "Check type and port. Harbor lives at the root of its host: leave out what follows the host in the browser.",
    )


def _object(transport: Transport, url: str) -> dict[str, object] | None:
    answer = transport.fetch("GET", url, limit=ANSWER_LIMIT)
    answer.close()
    try:
        return strict_json.load_object(answer.content, "version") if answer.status == 200 else None
    except MalformedAnswer:
        return None
