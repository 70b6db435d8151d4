"""What a registry's API says of its version, without signing in. Harbor alone has versions that the form asks for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from registries.connectors.harbor import installed
from registries.oci.client import DistributionClient
from registries.oci.endpoint import Endpoint


@dataclass(frozen=True)
class Reported:
    """The version that an API reports: a value of Registry.Version, and all of it, such as "v2.11.1-6b7ecba1"."""

    version: str
    full: str


def harbor(endpoint: Endpoint, *, check: Callable[[], None]) -> Reported:
    """Ask Harbor. Raises NotARegistry where nothing of Harbor answers, and what the network raises."""
    with DistributionClient(endpoint, check=check) as client:
        return Reported(*installed(client))
