"""How single vendors report pushes, each as it documents its webhooks. None: the report is of somebody else.

Docker Hub and Alibaba ACR: docs.docker.com/docker-hub/repos/manage/webhooks, help.aliyun.com/acr "webhook". Azure ACR:
learn.microsoft.com "Azure Container Registry webhook reference", also by Event Grid. GitHub: the events package and
registry_package. Google Artifact Registry: Pub/Sub push of the topic gcr. zot: CloudEvents of its extension events.
Gitea and Forgejo: the event package. Nexus: rm:repository:component and rm:repository:asset.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from registries.webhooks.changes import Change, change, inner, mappings

AZURE_ACTIONS = {"push": True, "delete": False}
AZURE_EVENTS = {"Microsoft.ContainerRegistry.ImagePushed": True, "Microsoft.ContainerRegistry.ImageDeleted": False}
AZURE_VALIDATION = "Microsoft.EventGrid.SubscriptionValidationEvent"
GITHUB_ACTIONS = {"published": True, "updated": True}
GOOGLE_ACTIONS = {"INSERT": True, "DELETE": False}
ZOT_EVENTS = {"zotregistry.image.updated": True, "zotregistry.image.deleted": False}
GITEA_ACTIONS = {"created": True, "deleted": False}
NEXUS_ACTIONS = {"CREATED": True, "UPDATED": True, "DELETED": False}
_NEXUS_MANIFEST = re.compile(r"/?v2/(?P<name>.+)/manifests/(?P<tag>[^/]+)")

Changes = Iterator[Change] | None


def docker_hub(body: Mapping[str, Any]) -> Changes:
    """Docker Hub, and Alibaba ACR in nearly the same form. Deletions are not reported."""
    repository = inner(body, "repository")
    if not inner(body, "push_data"):
        return None
    name = repository.get("repo_full_name") or repository.get("repo_name")
    return iter([change((str(name or ""),), inner(body, "push_data").get("tag"), True)])


def azure(body: Mapping[str, Any]) -> Changes:
    """A webhook of Azure ACR, or one event of Event Grid (its own schema and CloudEvents)."""
    kind = body.get("eventType", body.get("type"))
    if kind in AZURE_EVENTS or str(kind).startswith("Microsoft.ContainerRegistry."):
        return iter(_azure_target(inner(body, "data"), AZURE_EVENTS.get(str(kind))))
    if "action" not in body or not inner(body, "target") or "request" not in body:
        return None
    return iter(_azure_target(body, AZURE_ACTIONS.get(str(body["action"]))))


def _azure_target(body: Mapping[str, Any], pushed: bool | None) -> Iterator[Change]:
    target = inner(body, "target")
    if pushed is not None:  # a chart is reported as chart_push
        yield change((str(target.get("repository", "")),), target.get("tag"), pushed)


def validation_code(body: object) -> str:
    """Return the code that Event Grid wants to have back before it reports anything; "" for all other bodies."""
    for event in mappings(body):
        if event.get("eventType") == AZURE_VALIDATION:
            return str(inner(event, "data").get("validationCode", ""))[:200]
    return ""


def github(body: Mapping[str, Any]) -> Changes:
    """A package of GitHub: ghcr.io/owner/name. Deletions are not reported."""
    package = inner(body, "registry_package") or inner(body, "package")
    if "package_type" not in package:
        return None
    pushed = GITHUB_ACTIONS.get(str(body.get("action")))
    if pushed is None or str(package.get("package_type", "")).upper() != "CONTAINER":
        return iter(())
    owner = package.get("namespace") or inner(package, "owner").get("login") or ""
    name = f"{str(owner).partition('/')[0]}/{package.get('name', '')}".lower()
    tag = inner(package, "package_version", "container_metadata", "tag").get("name")
    return iter([change((name,), tag, True)])


def google(body: Mapping[str, Any]) -> Changes:
    """The push of a Pub/Sub subscription to the topic gcr, for Artifact Registry and its forerunner."""
    data = inner(body, "message").get("data")
    if "subscription" not in body or not isinstance(data, str):
        return None
    try:
        report = json.loads(base64.b64decode(data, validate=True))
    except (binascii.Error, ValueError, RecursionError):
        return iter(())
    pushed = GOOGLE_ACTIONS.get(str(report.get("action"))) if isinstance(report, dict) else None
    if pushed is None:
        return iter(())
    named = str(report.get("tag") or str(report.get("digest", "")).partition("@")[0])
    path = named.partition("/")[2]  # without the host
    name, _colon, tag = path.partition(":")
    return iter([change((name,), tag if report.get("tag") else None, pushed)])


def zot(body: Mapping[str, Any]) -> Changes:
    """A CloudEvent of zot. One that came with its type in a header has it in the body here."""
    kind = str(body.get("type", ""))
    if not kind.startswith("zotregistry."):
        return None
    pushed, data = ZOT_EVENTS.get(kind), inner(body, "data")
    return iter(() if pushed is None else [change((str(data.get("name", "")),), data.get("reference"), pushed)])


def gitea(body: Mapping[str, Any]) -> Changes:
    """A package of Gitea or Forgejo: host/owner/name."""
    package = inner(body, "package")
    if "action" not in body or "owner" not in package or "version" not in package:
        return None
    pushed = GITEA_ACTIONS.get(str(body["action"]))
    if pushed is None or package.get("type") != "container":
        return iter(())
    owner = inner(package, "owner")
    name = f"{owner.get('login') or owner.get('username') or ''}/{package.get('name', '')}".lower()
    return iter([change((name,), package.get("version"), pushed)])


def nexus(body: Mapping[str, Any]) -> Changes:
    """A component or an asset of Nexus. Its repository may be part of the name (path-based routing) or not."""
    component, asset = inner(body, "component"), inner(body, "asset")
    if "repositoryName" not in body or not (component or asset):
        return None
    pushed = NEXUS_ACTIONS.get(str(body.get("action")))
    if pushed is None or (component or asset).get("format") != "docker":
        return iter(())
    name, tag = str(component.get("name", "")), component.get("version")
    if not component:
        found = _NEXUS_MANIFEST.fullmatch(str(asset.get("name", "")))
        if found is None:
            return iter(())  # a blob
        name, tag = found["name"], found["tag"]
    return iter([change((name, f"{body['repositoryName']}/{name}"), tag, pushed)])


VENDORS = (docker_hub, azure, github, google, zot, gitea, nexus)
