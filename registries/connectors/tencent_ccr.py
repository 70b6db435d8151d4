"""The personal edition of Tencent's registry (CCR): listed by the API's key, pulled with a password of its own."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar, NoReturn

from registries.connectors import messages
from registries.connectors.base import Declaration, TagRef
from registries.connectors.declarations import CCR
from registries.connectors.tencent_api import TencentApi
from registries.connectors.tencent_lists import is_image, iter_offset_rows, parse_size, parse_timestamp
from registries.oci.client import DistributionClient
from registries.oci.endpoint import Endpoint
from registries.oci.errors import AccessDenied, NotFound
from registries.oci.strict_json import text


class CcrConnector:
    """The personal edition in one region: all repositories of the account, or those of one ``namespace``.

    Without a password for pulling (``can_pull`` false) tags are listed with a stand-in for the digest that cannot be
    asked for: so they are seen, and say what is missing.
    """

    declaration: ClassVar[Declaration] = CCR
    fixed = False

    def __init__(
        self, client: DistributionClient, api: TencentApi, *, region: str, namespace: str = "", can_pull: bool
    ) -> None:
        self._client, self._api, self._region = client, api, region
        self._namespace, self._can_pull = namespace, can_pull
        if not can_pull:
            client.use_endpoint_resolver(_raise_no_password)

    def ping(self) -> None:
        """Prove the key, and the password for pulling where there is one."""
        self._api.call("DescribeRepositoryOwnerPersonal", region=self._region, Limit=1, Offset=0)
        if self._can_pull:
            self._client.ping()

    def includes_tag(self, repository: str, tag: str) -> bool:
        """All are wanted: there is no typed list."""
        return True

    def repositories(self) -> Iterator[str]:
        """Yield the account's repositories, or those of the one namespace."""
        fuzzy = {"RepoName": f"{self._namespace}/"} if self._namespace else {}
        for row in iter_offset_rows(
            self._api,
            "DescribeRepositoryOwnerPersonal",
            "RepoInfo",
            name="RepoName",
            region=self._region,
            inside="Data",
            **fuzzy,
        ):
            name = str(row["RepoName"])
            if not self._namespace or name.startswith(f"{self._namespace}/"):
                yield name

    def tags(self, repository: str) -> Iterator[TagRef]:
        """Yield the tags of ``repository`` that may be images; none where it is gone."""
        try:
            for row in iter_offset_rows(
                self._api,
                "DescribeImagePersonal",
                "TagInfo",
                name="TagName",
                region=self._region,
                total="TagCount",
                inside="Data",
                RepoName=repository,
            ):
                if is_image(row):
                    yield TagRef(
                        name=str(row["TagName"]),
                        digest=None if self._can_pull else _placeholder_digest(repository, row),
                        size=parse_size(row.get("SizeByte")),
                        pushed_at=parse_timestamp(row.get("PushTime")) or parse_timestamp(row.get("UpdateTime")),
                    )
        except NotFound:
            return


def list_namespaces(api: TencentApi, *, region: str) -> Iterator[str]:
    """Yield the namespaces of the personal edition in ``region``. Raises RegistryError."""
    for row in iter_offset_rows(
        api,
        "DescribeNamespacePersonal",
        "NamespaceInfo",
        name="Namespace",
        region=region,
        total="NamespaceCount",
        inside="Data",
        Namespace="",
    ):
        yield text(row["Namespace"], 150)


def _raise_no_password(endpoint: Endpoint) -> NoReturn:
    raise AccessDenied(
        messages.REGISTRY_PASSWORD_MISSING(),
        messages.ENTER_UIN_AND_PASSWORD(),
    )


def _placeholder_digest(repository: str, row: Mapping[str, Any]) -> str:
    """What stands for the unknown digest of a tag: the same while the listing tells of the same image."""
    identity = row.get("ImageId") or f"{repository}:{row['TagName']}"
    return f"sha256:{hashlib.sha256(f'not pulled: {identity}'.encode()).hexdigest()}"
