"""What a fake Harbor holds and who may see it: projects, artifacts with their tags, accounts that are locked out."""

from __future__ import annotations

import base64
import binascii
import itertools
import json
import re
import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

from demo.registry_server import RegistryServer, ServerRequest
from tests.fakes import images

ZERO_TIME = "0001-01-01T00:00:00.000Z"
LOCK_SECONDS = 1.5
TYPES = {
    images.OCI_CONFIG: "IMAGE",
    images.DOCKER_CONFIG: "IMAGE",
    images.HELM_CONFIG: "CHART",
    "application/vnd.wasm.config.v1+json": "WASM",
}
_ACCESSORY = re.compile(r"sha256-[0-9a-f]{64}\.sig")

Nested = Literal["double", "single", "none"]


@dataclass
class Project:
    """A project; ``registry_id`` above 0 makes it a proxy cache."""

    project_id: int
    name: str
    public: bool = False
    registry_id: int | None = None


@dataclass(frozen=True)
class Account:
    """Who may do what. No ``projects``: all of them. A robot of Harbor 1 never lists, whatever it says here."""

    password: str
    projects: frozenset[str] | None = None
    may_list: bool = True
    robot: bool = False


@dataclass
class Artifact:
    """One row of the artifacts of a repository."""

    row: dict[str, Any]
    tags: dict[str, str] = field(default_factory=dict)  # name → push time
    child: bool = False  # of an index: listed where it has a tag of its own
    accessory: bool = False


class HarborContent(RegistryServer):
    """A Harbor without its APIs. ``external_url`` is what its settings call it, which its token realm repeats.

    ``nested`` is the encoding of names with slashes that gets through to its API.
    """

    def __init__(
        self,
        *,
        version: Literal["1.10.19", "2.5.0"] = "2.5.0",
        accounts: dict[str, Account] | None = None,
        external_url: str = "",
        nested: Nested = "double",
        with_global_list: bool = True,
        **options: Any,
    ) -> None:
        super().__init__(**{"method": "bearer", **options})
        self.sign_in.service = "harbor-registry"
        self.version, self.nested, self.with_global_list = version, nested, with_global_list
        self.accounts = accounts or {}
        self.external_url = external_url
        self.projects: dict[str, Project] = {}
        self.artifacts: dict[str, dict[str, Artifact]] = {}
        self.failed_logins: list[str] = []
        self.pulled: list[str] = []  # repository@digest, by GET of its manifest
        self._locked: dict[str, float] = {}
        self._numbers = itertools.count(1)
        self._clock = datetime(2026, 1, 1, tzinfo=UTC)
        self._held = threading.RLock()

    # --- content --------------------------------------------------------------------------------------------------
    def project(self, name: str, *, public: bool = False, registry_id: int | None = None) -> Project:
        """Make a project, or change what it is."""
        with self._held:
            made = self.projects.setdefault(name, Project(len(self.projects) + 1, name))
            made.public, made.registry_id = public, registry_id
            return made

    def put_manifest(self, repository: str, reference: str, content: bytes, media_type: str) -> str:
        digest = super().put_manifest(repository, reference, content, media_type)
        project = repository.partition("/")[0]
        with self._held:
            if project not in self.projects:
                self.project(project)
            held = self.artifacts.setdefault(repository, {})
            artifact = held.get(digest) or Artifact(self._row(digest, content, media_type, repository))
            held[digest] = artifact
            for child in artifact.row["references"] or ():
                if child["child_digest"] in held:
                    held[child["child_digest"]].child = True
            if reference != digest and artifact.tags.get(reference) is None:
                for other in held.values():
                    other.tags.pop(reference, None)
                artifact.tags[reference] = self.now()
                artifact.accessory = artifact.accessory or bool(_ACCESSORY.fullmatch(reference))
        return digest

    def remove_tag(self, repository: str, tag: str) -> None:
        """Take a tag off; its artifact stays."""
        self.store.remove_tag(repository, tag)
        with self._held:
            for artifact in self.artifacts[repository].values():
                artifact.tags.pop(tag, None)

    def remove_artifact(self, repository: str, digest: str) -> None:
        """Delete an artifact with its tags."""
        for tag in tuple(self.artifacts[repository][digest].tags):
            self.store.remove_tag(repository, tag)
        with self._held:
            del self.artifacts[repository][digest]

    def remove_project(self, name: str) -> None:
        """Delete a project with all its repositories."""
        with self._held:
            del self.projects[name]
            for repository in [each for each in self.artifacts if each.startswith(f"{name}/")]:
                del self.artifacts[repository]
                self.store.remove_repository(repository)

    def now(self) -> str:
        """A moment later than all before."""
        self._clock += timedelta(seconds=1)
        return self._clock.isoformat(timespec="milliseconds").replace("+00:00", "Z")

    def _row(self, digest: str, content: bytes, media_type: str, repository: str) -> dict[str, Any]:
        manifest = json.loads(content)
        config = manifest.get("config") or {}
        parts = [config, *(manifest.get("layers") or manifest.get("manifests") or [])]
        return {
            "id": next(self._numbers),
            "type": "IMAGE" if "manifests" in manifest else TYPES.get(config.get("mediaType", ""), "UNKNOWN"),
            "digest": digest,
            "size": len(content) + sum(part.get("size", 0) for part in parts),
            "media_type": config.get("mediaType", media_type),
            "manifest_media_type": media_type,
            "push_time": self.now(),
            "pull_time": ZERO_TIME,
            "repository": repository,
            "references": [
                {"child_digest": child["digest"], "platform": child.get("platform"), "urls": None}
                for child in manifest.get("manifests", ())
            ]
            or None,
            "labels": None,
            "accessories": None,
            "extra_attrs": None if "manifests" in manifest else {"architecture": "amd64", "os": "linux"},
            "config": config.get("digest"),
        }

    # --- who asks -------------------------------------------------------------------------------------------------
    def caller(self, request: ServerRequest) -> Account | None:
        """Who is logged in by Basic: None for nobody, and for somebody with a wrong password or locked out."""
        name, password = basic(request)
        if name is None:
            return None
        if time.monotonic() < self._locked.get(name, 0.0):
            self.failed_logins.append(name)
            return None
        account = self.accounts.get(name)
        if account is None or account.password != password:
            self.failed_logins.append(name)
            self._locked[name] = time.monotonic() + LOCK_SECONDS
            return None
        return account

    def sees(self, account: Account | None, project: str) -> bool:
        held = self.projects.get(project)
        if held is None:
            return False
        return held.public or (account is not None and (account.projects is None or project in account.projects))

    def lists(self, account: Account | None, project: str) -> bool:
        listing = account is None or (account.may_list and not (self.version.startswith("1.") and account.robot))
        public = project in self.projects and self.projects[project].public
        return self.sees(account, project) and (listing or public)


def user(password: str, **rights: Any) -> Account:
    """An account that sees and lists all projects, or the ``projects`` named."""
    return _account(password, **rights)


def robot(password: str, **rights: Any) -> Account:
    """A robot account."""
    return _account(password, robot=True, **rights)


def _account(password: str, *, projects: Iterable[str] | None = None, **rights: Any) -> Account:
    return Account(password, frozenset(projects) if projects is not None else None, **rights)


def basic(request: ServerRequest) -> tuple[str | None, str]:
    scheme, _space, value = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "basic":
        return None, ""
    try:
        name, _colon, password = base64.b64decode(value, validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        return "", ""
    return name, password
