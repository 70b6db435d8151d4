"""Google Artifact Registry: catalog of a location, and lists of tags that tell digest, size and time of every manifest.

cloud.google.com/artifact-registry/docs/docker/authentication: user ``_json_key`` with the key of a service account.
The list of tags has beside the names a ``manifest`` for each digest, as Container Registry had it.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, ClassVar

from django.utils.translation import gettext_lazy as _

from registries.connectors.base import Declaration, Guide, TagRef, Vendor, Wording
from registries.connectors.declarations import REPOSITORIES_WORDING
from registries.connectors.vendor import VendorConnector
from registries.oci import media_types

MAX_SIZE_BYTES = 1 << 50
MAX_MILLISECONDS = 1 << 43
DECLARATION = Declaration(
    type="gar",
    label="Google Artifact Registry",
    fields=("address", "username", "password", "repositories"),
    required=frozenset({"address", "username", "password"}),
    wording={
        "address": Wording(help=_("The host of the location."), placeholder="https://europe-west3-docker.pkg.dev"),
        "username": Wording(help=_("_json_key, or _json_key_base64 for a key in base64."), placeholder="_json_key"),
        "password": Wording(label=_("Key of the service account"), help=_("The content of the JSON file.")),
        "repositories": REPOSITORIES_WORDING,
    },
    guide=Guide(
        network=_("The host of the location (LOCATION-docker.pkg.dev) and storage.googleapis.com, on 443."),
        account=_(
            "A service account with the role Artifact Registry Reader on the project or its repositories, and a JSON"
            " key of it."
        ),
        notes=_("All repositories of the location that the account may read are listed, of all projects."),
    ),
)


class GoogleConnector(VendorConnector):
    """One location of Artifact Registry."""

    declaration: ClassVar[Declaration] = DECLARATION

    def list_tags(self, repository: str) -> Iterator[TagRef]:
        """Yield the tags with digest, size and push time; those that the list tells no more of by name."""
        document, more = self.client.tags_document(repository)
        names = dict.fromkeys(self.client.tags(repository) if more else document.get("tags") or ())
        manifests = document.get("manifest")
        for digest, facts in manifests.items() if isinstance(manifests, dict) else ():
            for name in facts.get("tag") or () if isinstance(facts, dict) else ():
                if names.pop(name, ...) is None:
                    yield _ref(name, str(digest), facts)
        yield from map(TagRef, names)


def _ref(name: str, digest: str, facts: dict[str, Any]) -> TagRef:
    media_type = media_types.bare(str(facts.get("mediaType") or ""))
    size, pushed = _number(facts.get("imageSizeBytes")), _number(facts.get("timeUploadedMs"))
    is_index = media_type in media_types.INDEXES
    return TagRef(
        name,
        digest=digest,
        media_type=media_type,
        size=size if 0 < size < MAX_SIZE_BYTES and not is_index else None,
        pushed_at=datetime.fromtimestamp(pushed / 1000, UTC) if 0 < pushed < MAX_MILLISECONDS else None,
    )


def _number(value: object) -> int:
    return int(value) if isinstance(value, str) and value.isdecimal() and len(value) < 19 else 0


VENDOR = Vendor(DECLARATION, GoogleConnector)
