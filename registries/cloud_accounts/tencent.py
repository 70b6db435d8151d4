"""What one key of Tencent Cloud gives access to, and the registries of the console kept in step with it.

Nothing that a person has changed is changed back, and nothing is deleted: what is gone is marked as such.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count, islice

from django.conf import settings
from django.db import IntegrityError, transaction
from django.utils.translation import gettext as _

from registries import addresses
from registries.clients import open_cloud
from registries.connectors.regions import CCR_HOSTS
from registries.connectors.tencent import instances
from registries.connectors.tencent_api import SITES, TencentApi
from registries.connectors.tencent_errors import PersonalEditionClosed, not_running
from registries.connectors.tencent_personal import namespaces
from registries.models import CloudAccount, Registry
from registries.oci.errors import CredentialsRefused, RegistryError

MOST = 2000  # instances, and namespaces of a region, that are taken from one account
MOST_NOTES = 50
GONE = "gone"
UNKNOWN, FAILED, CONNECTED = Registry.Connection.UNKNOWN, Registry.Connection.FAILED, Registry.Connection.CONNECTED


@dataclass(frozen=True)
class Place:
    """One registry as the cloud lists it: an instance of TCR, or a namespace of CCR."""

    type: str
    id: str
    name: str
    region: str
    host: str
    status: str = ""  # of an instance that does not run, in the vendor's word

    @property
    def key(self) -> str:
        """What it is known by, whatever it is called."""
        return _key(self.type, self.region, self.id)


@dataclass
class Found:
    """What an account has. ``whole`` says which lists have come to their end: (type, region, "" for all regions)."""

    endpoint: str = ""
    places: list[Place] = field(default_factory=list)
    whole: set[tuple[str, str]] = field(default_factory=set)
    notes: list[str] = field(default_factory=list)


def look(account: CloudAccount, *, check: Callable[[], None] = lambda: None) -> Found:
    """Return what ``account`` has at Tencent Cloud. Raises a RegistryError where its instances cannot be listed.

    A region of the personal edition that cannot be listed is noted.
    """
    found = Found()
    with open_cloud(account, check=check) as api:
        for each in islice(instances(api), MOST):
            status = "" if each.runs else each.status or "?"
            found.places.append(Place("tcr", each.id, each.name or each.id, each.region, each.host, status))
        if len(found.places) < MOST:
            found.whole.add(("tcr", ""))
        found.endpoint = "" if api.endpoint == SITES[0] else api.endpoint
        for region in dict.fromkeys(account.regions.split()):
            try:
                found.places += _personal(api, region)
            except CredentialsRefused:
                raise
            except RegistryError as error:
                found.notes.append(f"CCR, {region}: {error.reason} {error.remedy}")
            else:
                found.whole.add(("ccr", region))
    return found


def _personal(api: TencentApi, region: str) -> list[Place]:
    """The namespaces of the personal edition in ``region``; none where it is not open, which is no trouble."""
    label = next((label for label, place in CCR_HOSTS.items() if place == region), "ccr")
    try:
        names = list(islice(namespaces(api, region=region), MOST))
    except PersonalEditionClosed:
        return []
    return [Place("ccr", name, f"{label}-{name}", region, f"{label}.ccs.tencentyun.com") for name in names]


def keep_in_step(account: CloudAccount, found: Found) -> list[Registry]:
    """Write ``found``: make registries of what is new, mark what is gone or does not run; return those made.

    A registry that a person has removed is not made again while ``account.made`` names it. To be called in a
    transaction.
    """
    known = {_key(row.type, row.region, row.cloud_id): row for row in Registry.objects.exclude(cloud_id="")}
    by_hand = {
        row.address: row for row in Registry.objects.filter(type=Registry.Type.TCR, cloud_account=None, cloud_id="")
    }
    listed_by_hand = set(
        Registry.objects.filter(type=Registry.Type.CCR, cloud_id="", username=account.secret_id).values_list(
            "address", flat=True
        )
    )
    made, notes, ours = [], list(found.notes), set(account.made)
    for place in found.places:
        row = known.get(place.key) or by_hand.get(f"https://{place.host}")
        if row is None and place.key in account.made:
            notes.append(_("“%(name)s” was removed here, so it is not added again.") % {"name": place.name})
        elif row is None and place.type == Registry.Type.CCR and f"https://{place.host}" in listed_by_hand:
            told = {"name": place.name, "host": place.host}
            notes.append(_("“%(name)s” is listed by the registry of all of %(host)s that was added by hand.") % told)
        elif row is None and place.status:
            notes.append(f"“{place.name}”: {not_running(place.status).reason}")
        elif row is None:
            try:
                made.append(_make(account, place, endpoint=found.endpoint))
                ours.add(place.key)
            except addresses.AddressError as error:
                notes.append(f"“{place.name}”: {error}")
        elif row.cloud_account_id not in {None, account.pk}:
            notes.append(_("“%(name)s” is kept in step by another key.") % {"name": row.name})
        else:
            ours.add(place.key)
            try:
                notes += _update(account, row, place, endpoint=found.endpoint)
            except addresses.AddressError as error:
                notes.append(f"“{row.name}”: {error}")
    listed = {place.key for place in found.places}
    for row in account.registries.exclude(cloud_state=GONE):
        lists = {(row.type, ""), (row.type, row.region)}
        if lists & found.whole and _key(row.type, row.region, row.cloud_id) not in listed:
            _mark(row, GONE, *_gone(row))
    account.record(
        state=CONNECTED,
        instances=sum(place.type == Registry.Type.TCR for place in found.places),
        namespaces=sum(place.type == Registry.Type.CCR for place in found.places),
        notes=notes[:MOST_NOTES],
        made=sorted(ours),
    )
    return made


def hand_over(account: CloudAccount, *, was: str) -> None:
    """Give the registries of ``account`` its credentials of now. ``was`` is the SecretId they had till now.

    Those that a person has given a key of their own keep it.
    """
    rows = account.registries.filter(username=was)
    fresh: dict[str, object] = {"connection": UNKNOWN, "connection_reason": "", "connection_remedy": ""}
    rows.filter(type=Registry.Type.CCR).update(**_pulling(account))
    rows.update(**_listing(account), **fresh)


def let_go(account: CloudAccount) -> None:
    """Delete ``account``. Its registries stay with all that was found in them, without the credentials it gave them."""
    reason = _("The Tencent Cloud key that this registry belonged to was removed.")
    remedy = _("Edit the registry and enter a key, or add the key again; or delete the registry.")
    with transaction.atomic():
        for row in account.registries.filter(username=account.secret_id):
            Registry.objects.filter(pk=row.pk).update(
                username="",
                password_token="",
                pull_username="",
                pull_password_token="",  # nosec B106  # taken away
            )
            row.refresh_from_db()
            row.record_connection(state=FAILED, reason=reason, remedy=remedy)
        account.delete()


def _make(account: CloudAccount, place: Place, *, endpoint: str) -> Registry:
    """Make the registry of ``place`` under a name that is free. Raises AddressError."""
    address = _address(place)
    for number in count(1):
        try:
            with transaction.atomic():
                return Registry.objects.create(
                    name=place.name[:90] if number == 1 else f"{place.name[:90]} ({number})",
                    type=place.type,
                    region=place.region,
                    address=address,
                    endpoint=endpoint,
                    cloud_account=account,
                    cloud_id=place.id,
                    cloud_address=address,
                    **_listing(account),
                    **(_pulling(account) if place.type == "ccr" else {}),
                )
        except IntegrityError:  # registry_name_unique
            continue
    raise AssertionError


def _update(account: CloudAccount, row: Registry, place: Place, *, endpoint: str) -> list[str]:
    """Bring ``row`` in step with ``place``; return what a person should know of it. Raises AddressError."""
    notes, address = [], _address(place)
    changed: dict[str, object] = {"cloud_account": account, "cloud_id": place.id, "region": place.region}
    if not row.username:  # let go with an earlier key
        changed |= _listing(account) | (_pulling(account) if row.type == Registry.Type.CCR else {})
    if row.username in {"", account.secret_id}:
        changed["endpoint"] = endpoint
    if row.cloud_address not in {"", address}:
        told = {"name": row.name, "old": row.cloud_address, "new": address}
        notes.append(_("“%(name)s” has moved from %(old)s to %(new)s; its name here stays.") % told)
        if row.address == row.cloud_address:
            changed["address"] = address
    changed["cloud_address"] = address
    Registry.objects.filter(pk=row.pk).update(**changed)
    row.refresh_from_db()
    if place.status:
        error = not_running(place.status)
        _mark(row, place.status, error.reason, error.remedy)
        notes.append(f"“{row.name}”: {error.reason}")
    elif row.cloud_state:
        _mark(row, "", "", "")
    return notes


def _address(place: Place) -> str:
    return addresses.normalise(
        f"https://{place.host}",
        allowed_networks=settings.ALLOWED_NETWORKS,
        plain_http_hosts=settings.PLAIN_HTTP_HOSTS,
    )


def _mark(row: Registry, state: str, reason: str, remedy: str) -> None:
    """Write what is amiss with ``row`` at the cloud, "" for nothing more."""
    Registry.objects.filter(pk=row.pk).update(cloud_state=state[:60])
    row.record_connection(state=FAILED if state else UNKNOWN, reason=reason, remedy=remedy)


def _gone(row: Registry) -> tuple[str, str]:
    what = _("namespace") if row.type == Registry.Type.CCR else _("instance")
    return (
        _("The %(what)s is no longer listed at Tencent Cloud.") % {"what": what},
        _("If it was deleted there, delete the registry here. Its images and findings stay until then."),
    )


def _listing(account: CloudAccount) -> dict[str, str]:
    return {"username": account.secret_id, "password_token": account.secret_key_token}


def _pulling(account: CloudAccount) -> dict[str, str]:
    if not account.has_pull_password:
        return {}
    return {"pull_username": account.pull_username, "pull_password_token": account.pull_password_token}


def _key(type: str, region: str, id: str) -> str:
    return f"{type}:{region}:{id}" if type == Registry.Type.CCR else f"{type}:{id}"
