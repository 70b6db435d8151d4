"""Nexus Repository 3: one registry for each connector port, or below ``/repository/<name>`` (path-based routing).

It cuts pages below what is asked for, without a Link (sonatype/nexus-public#117), and names an inner host in Links
(#1011): registries.oci.name_lists copes with both.
"""

from __future__ import annotations

from typing import ClassVar

from django.utils.translation import gettext_lazy as _

from registries.connectors.base import Declaration, Guide, Vendor, Wording
from registries.connectors.declarations import REPOSITORIES_WORDING
from registries.connectors.vendor import VendorConnector

DECLARATION = Declaration(
    type="nexus",
    label="Nexus",
    fields=("address", "username", "password", "repositories"),
    wording={
        "address": Wording(
            help=_("As in docker pull: the port of the Docker connector, or https://host/repository/name."),
            placeholder="https://nexus.example.com:8083",
        ),
        "username": Wording(help=_("A user, or the name part of a user token.")),
        "password": Wording(label=_("Password or pass code")),
        "repositories": REPOSITORIES_WORDING,
    },
    guide=Guide(
        network=_("The port of the Docker connector of the repository, or the port of Nexus with path-based routing."),
        account=_("A user with the privileges nx-repository-view-docker-*-browse and -read of the repositories."),
        notes=_(
            "The realm “Docker Bearer Token” must be active (Security → Realms). Of a proxy repository only what it has"
            " cached is listed."
        ),
    ),
)


class NexusConnector(VendorConnector):
    """One Docker repository of a Nexus."""

    declaration: ClassVar[Declaration] = DECLARATION


VENDOR = Vendor(DECLARATION, NexusConnector)
