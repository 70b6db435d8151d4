"""What one key of Tencent Cloud gives access to, and the registries of the console kept in step with it.

Nothing that a person has changed is changed back, and nothing is deleted: what is gone is marked as such.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count, islice

from django.conf import settings
from django.db import IntegrityError, transaction

from console.i18n.message_codes import NOTHING, Message, sentences
from registries import addresses
from registries.clients import open_cloud_api
from registries.cloud_accounts import messages
from registries.connectors.regions import CCR_HOSTS
from registries.connectors.tencent_api import SITE_URLS, TencentApi
from registries.connectors.tencent_ccr import list_namespaces
from registries.connectors.tencent_errors import PersonalEditionClosed, not_running
from registries.connectors.tencent_tcr import list_instances
from registries.models import CloudAccount, Registry
from registries.oci.errors import CredentialsRefused, RegistryError

MAX_CLOUD_REGISTRIES = 2000  # instances, and namespaces of a region, that are taken from one account
MAX_NOTES = 50
GONE_STATE = "gone"
UNKNOWN, FAILED, CONNECTED = Registry.Connection.UNKNOWN, Registry.Connection.FAILED, Registry.Connection.CONNECTED


@dataclass(frozen=True)
class CloudRegistry:
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
class CloudListing:
    """What an account has. ``complete_lists`` says which lists are whole: (type, region, "" for all regions)."""

    endpoint: str = ""
    registries: list[CloudRegistry] = field(default_factory=list)
    complete_lists: set[tuple[str, str]] = field(default_factory=set)
    notes: list[Message] = field(default_factory=list)


def list_cloud_registries(account: CloudAccount, *, check: Callable[[], None] = lambda: None) -> CloudListing:
    """Return what ``account`` has at Tencent Cloud. Raises a RegistryError where its instances cannot be listed.

    A region of the personal edition that cannot be listed is noted.
    """
    found = CloudListing()
    with open_cloud_api(account, check=check) as api:
        for each in islice(list_instances(api), MAX_CLOUD_REGISTRIES):
            status = "" if each.is_running else each.status or "?"
            found.registries.append(CloudRegistry("tcr", each.id, each.name or each.id, each.region, each.host, status))
        if len(found.registries) < MAX_CLOUD_REGISTRIES:
            found.complete_lists.add(("tcr", ""))
        found.endpoint = "" if api.endpoint == SITE_URLS[0] else api.endpoint
        for region in dict.fromkeys(account.regions.split()):
            try:
                found.registries += _personal_registries(api, region)
            except CredentialsRefused:
                raise
            except RegistryError as error:
                found.notes.append(messages.REGION_FAILED(region=region, why=sentences(error.reason, error.remedy)))
            else:
                found.complete_lists.add(("ccr", region))
    return found


def _personal_registries(api: TencentApi, region: str) -> list[CloudRegistry]:
    """The namespaces of the personal edition in ``region``; none where it is not open, which is no trouble."""
    label = next((label for label, cloud_registry in CCR_HOSTS.items() if cloud_registry == region), "ccr")
    try:
        names = list(islice(list_namespaces(api, region=region), MAX_CLOUD_REGISTRIES))
    except PersonalEditionClosed:
        return []
    return [CloudRegistry("ccr", name, f"{label}-{name}", region, f"{label}.ccs.tencentyun.com") for name in names]


def reconcile(account: CloudAccount, found: CloudListing) -> list[Registry]:
    """Write ``found``: make registries of what is new, mark what is gone or does not run; return those made.

    A registry that a person has removed is not made again while ``account.made`` names it. To be called in a
    transaction.
    """
    existing = {_key(row.type, row.region, row.cloud_id): row for row in Registry.objects.exclude(cloud_id="")}
    added_manually = {
        row.address: row for row in Registry.objects.filter(type=Registry.Type.TCR, cloud_account=None, cloud_id="")
    }
    listed_manually = set(
        Registry.objects.filter(type=Registry.Type.CCR, cloud_id="", username=account.secret_id).values_list(
            "address", flat=True
        )
    )
    made, notes, ours = [], list(found.notes), set(account.made)
    for cloud_registry in found.registries:
        row = existing.get(cloud_registry.key) or added_manually.get(f"https://{cloud_registry.host}")
        if row is None and cloud_registry.key in account.made:
            notes.append(messages.WAS_REMOVED_HERE(name=cloud_registry.name))
        elif (
            row is None
            and cloud_registry.type == Registry.Type.CCR
            and f"https://{cloud_registry.host}" in listed_manually
        ):
            parameters = {"name": cloud_registry.name, "host": cloud_registry.host}
            notes.append(messages.LISTED_BY_MANUAL_REGISTRY(**parameters))
        elif row is None and cloud_registry.status:
            notes.append(messages.OF_REGISTRY(name=cloud_registry.name, what=not_running(cloud_registry.status).reason))
        elif row is None:
            try:
                made.append(_create_registry(account, cloud_registry, endpoint=found.endpoint))
                ours.add(cloud_registry.key)
            except addresses.AddressError as error:
                notes.append(messages.OF_REGISTRY(name=cloud_registry.name, what=error))
        elif row.cloud_account_id not in {None, account.pk}:
            notes.append(messages.MANAGED_BY_OTHER_KEY(name=row.name))
        else:
            ours.add(cloud_registry.key)
            try:
                notes += _update(account, row, cloud_registry, endpoint=found.endpoint)
            except addresses.AddressError as error:
                notes.append(messages.OF_REGISTRY(name=row.name, what=error))
    listed = {cloud_registry.key for cloud_registry in found.registries}
    for row in account.registries.exclude(cloud_state=GONE_STATE):
        lists = {(row.type, ""), (row.type, row.region)}
        if lists & found.complete_lists and _key(row.type, row.region, row.cloud_id) not in listed:
            _mark(row, GONE_STATE, *_gone(row))
    account.record(
        state=CONNECTED,
        instances=sum(cloud_registry.type == Registry.Type.TCR for cloud_registry in found.registries),
        namespaces=sum(cloud_registry.type == Registry.Type.CCR for cloud_registry in found.registries),
        notes=notes[:MAX_NOTES],
        made=sorted(ours),
    )
    return made


def update_credentials(account: CloudAccount, *, was: str) -> None:
    """Give the registries of ``account`` its credentials of now. ``was`` is the SecretId they had till now.

    Those that a person has given a key of their own keep it.
    """
    rows = account.registries.filter(username=was)
    fresh: dict[str, object] = {"connection": UNKNOWN, "connection_reason": "", "connection_remedy": ""}
    rows.filter(type=Registry.Type.CCR).update(**_pull_credentials(account))
    rows.update(**_listing_credentials(account), **fresh)


def delete_account(account: CloudAccount) -> None:
    """Delete ``account``. Its registries stay with all that was found in them, without the credentials it gave them."""
    reason = messages.KEY_WAS_REMOVED()
    remedy = messages.ENTER_A_KEY()
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


def _create_registry(account: CloudAccount, cloud_registry: CloudRegistry, *, endpoint: str) -> Registry:
    """Make the registry of ``cloud_registry`` under a name that is free. Raises AddressError."""
    address = _address(cloud_registry)
    for number in count(1):
        try:
            with transaction.atomic():
                return Registry.objects.create(
                    name=cloud_registry.name[:90] if number == 1 else f"{cloud_registry.name[:90]} ({number})",
                    type=cloud_registry.type,
                    region=cloud_registry.region,
                    address=address,
                    endpoint=endpoint,
                    cloud_account=account,
                    cloud_id=cloud_registry.id,
                    cloud_address=address,
                    **_listing_credentials(account),
                    **(_pull_credentials(account) if cloud_registry.type == "ccr" else {}),
                )
        except IntegrityError:  # registry_name_unique
            continue
    raise AssertionError


def _update(account: CloudAccount, row: Registry, cloud_registry: CloudRegistry, *, endpoint: str) -> list[Message]:
    """Bring ``row`` in step with ``cloud_registry``; return what a person should know of it. Raises AddressError."""
    notes, address = [], _address(cloud_registry)
    changed: dict[str, object] = {
        "cloud_account": account,
        "cloud_id": cloud_registry.id,
        "region": cloud_registry.region,
    }
    if not row.username:  # let go with an earlier key
        changed |= _listing_credentials(account) | (_pull_credentials(account) if row.type == Registry.Type.CCR else {})
    if row.username in {"", account.secret_id}:
        changed["endpoint"] = endpoint
    if row.cloud_address not in {"", address}:
        parameters = {"name": row.name, "old": row.cloud_address, "new": address}
        notes.append(messages.HAS_MOVED(**parameters))
        if row.address == row.cloud_address:
            changed["address"] = address
    changed["cloud_address"] = address
    Registry.objects.filter(pk=row.pk).update(**changed)
    row.refresh_from_db()
    if cloud_registry.status:
        error = not_running(cloud_registry.status)
        _mark(row, cloud_registry.status, error.reason, error.remedy)
        notes.append(messages.OF_REGISTRY(name=row.name, what=error.reason))
    elif row.cloud_state:
        _mark(row, "", NOTHING, NOTHING)
    return notes


def _address(cloud_registry: CloudRegistry) -> str:
    return addresses.normalise(
        f"https://{cloud_registry.host}",
        allowed_networks=settings.ALLOWED_NETWORKS,
        plain_http_hosts=settings.PLAIN_HTTP_HOSTS,
    )


def _mark(row: Registry, state: str, reason: Message, remedy: Message) -> None:
    """Write what is amiss with ``row`` at the cloud, "" for nothing more."""
    Registry.objects.filter(pk=row.pk).update(cloud_state=state[:60])
    row.record_connection(state=FAILED if state else UNKNOWN, reason=reason, remedy=remedy)


def _gone(row: Registry) -> tuple[Message, Message]:
    what = messages.NAMESPACE() if row.type == Registry.Type.CCR else messages.INSTANCE()
    return (
        messages.NO_LONGER_LISTED(what=what),
        messages.DELETE_REGISTRY(),
    )


def _listing_credentials(account: CloudAccount) -> dict[str, str]:
    return {"username": account.secret_id, "password_token": account.secret_key_token}


def _pull_credentials(account: CloudAccount) -> dict[str, str]:
    if not account.has_pull_password:
        return {}
    return {"pull_username": account.pull_username, "pull_password_token": account.pull_password_token}


def _key(type: str, region: str, id: str) -> str:
    return f"{type}:{region}:{id}" if type == Registry.Type.CCR else f"{type}:{id}"
