"""Types of registries by one module each. To add one, see docs/connectors.md.

None was tried with the real service; each module names the pages by which its facts can be checked.
"""

from __future__ import annotations

from collections.abc import Mapping

from registries.connectors.base import Vendor
from registries.connectors.vendors import azure, docker_hub, gitea, github, gitlab, google, nexus, typed_lists, zot

# by value of Registry.Type, in the order in which the types are offered
VENDORS: Mapping[str, Vendor] = {
    each.declaration.type: each
    for each in (
        docker_hub.VENDOR,
        github.VENDOR,
        gitlab.VENDOR,
        azure.VENDOR,
        google.VENDOR,
        *typed_lists.VENDORS,
        nexus.VENDOR,
        gitea.VENDOR,
        zot.VENDOR,
    )
}
