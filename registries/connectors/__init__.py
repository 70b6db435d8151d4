"""Connectors: how each type of registry is listed, and which fields its form has."""

from __future__ import annotations

from collections.abc import Mapping

from registries.connectors.base import Declaration
from registries.connectors.declarations import AWS, CCR, HARBOR, JFROG, OCI, QUAY, TCR
from registries.connectors.vendors import VENDORS

# value of Registry.Type → what its form shows; in the order in which the types are offered
DECLARATIONS: Mapping[str, Declaration] = {
    "harbor": HARBOR,
    "quay": QUAY,
    "jfrog": JFROG,
    "aws": AWS,
    "tcr": TCR,
    "ccr": CCR,
    **{name: vendor.declaration for name, vendor in VENDORS.items()},
    "oci": OCI,
}
