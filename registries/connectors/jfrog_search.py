"""What Artifactory's search (AQL) tells of images: the manifests of many tags in one call, with digest and time.

Each tag has a folder ``<image>/<tag>`` with the file of its manifest; what indexes point to lies in others.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from registries.connectors import messages
from registries.oci import strict_json
from registries.oci.errors import CredentialsRefused, RegistryError, TooLarge, Unreachable
from registries.oci.vendor_api import JsonApi, objects

SEARCH_TIMEOUT_SECONDS = 120.0
MANIFEST_FILES = ("manifest.json", "list.manifest.json")

_CHILD_PREFIX = "sha256__"  # begins the folders of what indexes point to
_HEX = re.compile(r"[0-9a-f]{64}")

Row = dict[str, Any]


@dataclass(frozen=True)
class ManifestFile:
    """The manifest of a tag. ``digest`` is None where the search tells none, or two."""

    digest: str | None = None
    modified: datetime | None = None


class ManifestSearch:
    """The search of one Artifactory. It closes for good once it was refused or failed: not every edition has it."""

    def __init__(self, api: JsonApi) -> None:
        self._api = api
        self._closed = False

    def images(self, key: str) -> list[str] | None:
        """Return the names of the images in the repository ``key``; None where the search does not tell."""
        rows = self._query({"repo": key})
        return None if rows is None else list(dict.fromkeys(image for image, _tag, _row in _tagged(rows)))

    def files(self, key: str, image: str) -> dict[str, ManifestFile]:
        """Return the manifests of the tags of ``image``, by tag; none where the search does not tell."""
        if set(image) & set("*?"):
            return {}
        found: dict[str, ManifestFile] = {}
        for of, tag, row in _tagged(self._query({"repo": key, "path": {"$match": f"{image}/*"}}) or ()):
            if of == image:
                digest = row.get("sha256")
                alone = isinstance(digest, str) and _HEX.fullmatch(digest) and tag not in found
                found[tag] = ManifestFile(
                    f"sha256:{digest}" if alone else None, strict_json.parse_time(row.get("modified"))
                )
        return found

    def _query(self, where: Mapping[str, Any]) -> list[Row] | None:
        """Ask for manifests, neither sorted nor in pages: the free edition refuses that."""
        if self._closed:
            return None
        criteria = json.dumps({**where, "$or": [{"name": name} for name in MANIFEST_FILES]})
        query = f'items.find({criteria}).include("repo","path","name","modified","sha256")'
        subject = messages.THE_SEARCH()
        try:
            response = self._api.post(
                "/search/aql",
                query.encode(),
                headers={"Content-Type": "text/plain"},
                head_seconds=SEARCH_TIMEOUT_SECONDS,
            )
            return objects(response.item(subject).get("results"), subject)
        except TooLarge:
            return None
        except (CredentialsRefused, Unreachable):
            raise
        except RegistryError:  # not for this account or edition, or overloaded: each tag is asked for then
            self._closed = True
            return None


def _tagged(rows: Iterable[Row]) -> Iterator[tuple[str, str, Row]]:
    """Yield image, tag and row of the manifests that have a tag; not those of an index, nor unfinished uploads."""
    for row in rows:
        image, _slash, tag = strict_json.text(row.get("path"), 1000).rpartition("/")
        if image and tag and not tag.startswith(_CHILD_PREFIX) and "_uploads" not in (tag, *image.split("/")):
            yield image, tag, row
