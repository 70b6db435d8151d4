"""What registries report of pushes: which repository and tag to look at again, whatever the vendor's form of saying so.

Registry facts: Harbor (default format and CloudEvents), Quay's repo_push, JFrog's webhooks of the domains docker and
oci, the notification envelope of distribution, ECR's events by an EventBridge API destination, TCR in Harbor's form;
those of further vendors are in vendor_payloads.
A report is a hint and no more: nothing in it is stored as data.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterator, Mapping
from itertools import chain
from typing import Any

from registries.webhooks.changes import Change, change, mappings
from registries.webhooks.vendor_payloads import VENDORS

__all__ = ["Change"]

MAX_CHANGES = 200  # of one report; more of them call for a sync of the whole registry
MAX_NAME_CHARACTERS = 300
HARBOR_EVENTS = {
    "pushImage": True,
    "PUSH_ARTIFACT": True,
    "harbor.artifact.pushed": True,
    "deleteImage": False,
    "DELETE_ARTIFACT": False,
    "harbor.artifact.deleted": False,
}
JFROG_EVENTS = {"pushed": True, "promoted": True, "deleted": False}
DISTRIBUTION_ACTIONS = {"push": True, "mount": True, "delete": False}
SIGNATURE_HEADERS = ("X-JFrog-Event-Auth", "X-Hub-Signature-256", "X-Gitea-Signature", "X-Forgejo-Signature")
ECR_ACTIONS = {"PUSH": True, "DELETE": False}


def parse_changes(body: object, *, event_type: str = "") -> list[Change] | None:
    """Return what the report ``body`` (parsed JSON) asks to look at, each once; None where its form is not known.

    ``event_type`` is the type of a CloudEvent whose body is its data alone (header ``ce-type``). A list of reports
    (Event Grid) is read one by one.

    Pulls, scans and pushes by digest alone give an empty list. At most ``MAX_CHANGES`` + 1 are returned.
    """
    if isinstance(body, list):
        known = [each for one in mappings(body) if (each := parse_changes(one)) is not None]
        return list(dict.fromkeys(chain(*known)))[: MAX_CHANGES + 1] if known else None
    if not isinstance(body, Mapping):
        return None
    if event_type:
        body = {"type": event_type, "data": body}
    for read in (_harbor, _quay, _jfrog, _distribution, _ecr, *VENDORS):
        found = read(body)
        if found is not None:
            unique = dict.fromkeys(change for change in found if _usable(change))
            return list(unique)[: MAX_CHANGES + 1]
    return None


def is_authentic(*, secret: str, body: bytes, headers: Mapping[str, str], path_secret: str = "") -> bool:
    """Whether a report carries ``secret``: in its address, in a header, or as the key of an HMAC of the body.

    Headers looked at: Authorization (bare, or as Bearer), X-JFrog-Event-Auth, X-Tallyman-Secret; HMAC-SHA256 of JFrog,
    GitHub, Gitea and Forgejo; HMAC-SHA1 of Nexus, which has no other. In constant time.
    """
    authorization = headers.get("Authorization", "")
    signature = hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
    jfrog = headers.get("X-JFrog-Event-Auth", "")
    offered = (
        path_secret,
        authorization,
        authorization.removeprefix("Bearer "),
        jfrog,
        headers.get("X-Tallyman-Secret", ""),
    )
    right = [hmac.compare_digest(each.encode(), secret.encode()) for each in offered]
    signatures = [(signature, headers.get(name, "").removeprefix("sha256=")) for name in SIGNATURE_HEADERS]
    sha1 = hmac.new(secret.encode(), body, hashlib.sha1).hexdigest()
    signatures.append((sha1, headers.get("X-Nexus-Webhook-Signature", "").removeprefix("sha1=")))
    right += [hmac.compare_digest(given.encode(), expected.encode()) for expected, given in signatures]
    return any(right)


def _harbor(body: Mapping[str, Any]) -> Iterator[Change] | None:
    data = body.get("event_data", body.get("data"))
    if not isinstance(data, Mapping) or not isinstance(data.get("repository"), Mapping):
        return None
    return _of_harbor(HARBOR_EVENTS.get(str(body.get("type"))), data)


def _of_harbor(pushed: bool | None, data: Mapping[str, Any]) -> Iterator[Change]:
    name = str(data["repository"].get("repo_full_name", ""))
    for resource in mappings(data.get("resources")):
        if pushed is not None:
            yield change((name,), resource.get("tag"), pushed)


def _quay(body: Mapping[str, Any]) -> Iterator[Change] | None:
    tags = body.get("updated_tags")
    if not isinstance(tags, list | Mapping) or not isinstance(body.get("repository"), str):
        return None
    return (change((str(body["repository"]),), tag, True) for tag in tags)


def _jfrog(body: Mapping[str, Any]) -> Iterator[Change] | None:
    data = body.get("data")
    if body.get("domain") not in ("docker", "oci") or not isinstance(data, Mapping):  # what has no hash, too
        return None
    pushed = JFROG_EVENTS.get(str(body.get("event_type")))
    if pushed is None:
        return iter(())
    image = str(data.get("image_name", ""))
    # By the path method the repository key is part of the name, by the subdomain and port methods it is not.
    return iter([change((f"{data.get('repo_key', '')}/{image}", image), data.get("tag"), pushed)])


def _distribution(body: Mapping[str, Any]) -> Iterator[Change] | None:
    if not isinstance(body.get("events"), list):
        return None
    return _of_distribution(body["events"])


def _of_distribution(events: list[Any]) -> Iterator[Change]:
    for event in mappings(events):
        pushed, target = DISTRIBUTION_ACTIONS.get(str(event.get("action"))), event.get("target")
        # A pushed blob is reported too: it has a repository and no tag.
        if pushed is not None and isinstance(target, Mapping) and (target.get("tag") or not pushed):
            yield change((str(target.get("repository", "")),), target.get("tag"), pushed)


def _ecr(body: Mapping[str, Any]) -> Iterator[Change] | None:
    detail = body.get("detail")
    if body.get("source") != "aws.ecr" or not isinstance(detail, Mapping):
        return None
    pushed = ECR_ACTIONS.get(str(detail.get("action-type")))
    if pushed is None or detail.get("result", "SUCCESS") != "SUCCESS":
        return iter(())
    return iter([change((str(detail.get("repository-name", "")),), detail.get("image-tag"), pushed)])


def _usable(change: Change) -> bool:
    """Whether a registry can be asked for it: a push by digest is not one of a tag."""
    fits = all(name and len(name) <= MAX_NAME_CHARACTERS and name.isprintable() for name in change.names)
    return (
        fits
        and len(change.tag) <= MAX_NAME_CHARACTERS
        and change.tag.isprintable()
        and change.tag != "-"
        and ":" not in change.tag
    )
