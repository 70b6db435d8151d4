"""Registries of clouds that differ by address, account and token service alone, mostly with a closed catalog.

Not tried with the real services. Facts can be checked by the vendors' pages on docker login: Alibaba ACR
(help.aliyun.com/acr), Huawei SWR (support.huaweicloud.com/swr), Oracle OCIR (docs.oracle.com, Container Registry) and
DigitalOcean (docs.digitalocean.com, container-registry).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from registries.connectors.base import Declaration, Guide, RegistryFacts, Vendor, Wording
from registries.connectors.vendor import VendorConnector
from registries.oci.client import DistributionClient

_LIST_WORDING = Wording(
    help=_("One per line: name, name:tag or name:pattern with * and ?. The registry does not list them itself."),
    placeholder="team/app",
)


@dataclass(frozen=True)
class _Difference:
    """What one of them differs by."""

    type: str
    label: str
    address: str  # an example
    username: Promise
    password: Promise
    network: Promise
    account: Promise
    notes: Promise
    has_catalog: bool = False


_DIFFERENCES = (
    _Difference(
        type="alibaba",
        label="Alibaba ACR",
        address="https://registry.cn-hangzhou.aliyuncs.com",
        username=_("The account or RAM user, as in docker login."),
        password=_("The password set for the registry, not that of the console."),
        network=_("The registry, its token service (dockerauth.REGION.aliyuncs.com) and OSS of the region, on 443."),
        account=_("A RAM user with the policy AliyunContainerRegistryReadOnlyAccess and a password for the registry."),
        notes=_("The connection test names the token service: allow it. Enterprise instances have an allowlist."),
    ),
    _Difference(
        type="swr",
        label="Huawei SWR",
        address="https://swr.cn-north-4.myhuaweicloud.com",
        username=_("REGION@AK, as in the long-term login command."),
        password=_("The password of the long-term login command."),
        network=_("The registry and OBS of the region, on 443."),
        account=_("An IAM user with SWR ReadOnlyAccess, and an access key for a long-term login command."),
        notes=_("The long-term login ends when its access key is deleted."),
    ),
    _Difference(
        type="ocir",
        label="Oracle OCIR",
        address="https://fra.ocir.io",
        username=_("NAMESPACE/USER, or NAMESPACE/DOMAIN/USER."),
        password=_("An auth token of the user."),
        network=_("REGION.ocir.io and the object storage of the region, on 443."),
        account=_("A user of a group with the policy “read repos in tenancy”, and an auth token."),
        notes=_("Names begin with the namespace of the tenancy."),
    ),
    _Difference(
        type="docean",
        label="DigitalOcean",
        address="https://registry.digitalocean.com",
        username=_("The mail address of the account, or the token once more."),
        password=_("An API token with the scope registry:read."),
        network=_("registry.digitalocean.com, api.digitalocean.com and *.digitaloceanspaces.com, on 443."),
        account=_("An API token with the custom scope registry:read."),
        notes=_("The connection test names the token service (api.digitalocean.com): allow it."),
        has_catalog=True,
    ),
)


def _declaration(each: _Difference) -> Declaration:
    needed = {"address", "username", "password"} | (set() if each.has_catalog else {"repositories"})
    return Declaration(
        type=each.type,
        label=each.label,
        fields=("address", "username", "password", "token_service", "repositories"),
        required=frozenset(needed),
        wording={
            "address": Wording(placeholder=each.address),
            "username": Wording(help=each.username),
            "password": Wording(help=each.password),
            "repositories": _LIST_WORDING,
        },
        guide=Guide(network=each.network, account=each.account, notes=each.notes),
    )


def _vendor(each: _Difference) -> Vendor:
    class TypedListConnector(VendorConnector):
        """A registry of this vendor."""

        declaration: ClassVar[Declaration] = _declaration(each)

    def connect(client: DistributionClient, facts: RegistryFacts) -> TypedListConnector:
        return TypedListConnector(client, facts)

    return Vendor(TypedListConnector.declaration, connect)


VENDORS = tuple(_vendor(each) for each in _DIFFERENCES)
