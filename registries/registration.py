"""What the registries add to the tables of the console."""

from __future__ import annotations

from console import visibility
from console.accounts import outbound_http
from console.i18n.messages import register as register_messages
from console.jobs import kinds, ticks
from console.jobs.kinds import JobKind
from console.listing import registered_listings
from console.machines import keys
from console.server import installation_checks
from registries import credential_encryption, tasks
from registries import installation_checks as registry_checks
from registries import messages as registries_messages
from registries import outbound_http as outbound
from registries import visibility as registry_visibility
from registries.cloud_accounts import discovery
from registries.cloud_accounts import messages as cloud_accounts_messages
from registries.connection_test import messages as connection_test_messages
from registries.connectors import messages as connectors_messages
from registries.models import CloudDiscovery
from registries.oci import messages as oci_messages
from registries.sync_requests import nightly
from registries.tables.listings import REGISTRIES, SYNCS


def register() -> None:
    """Fill the tables; called once, by ``RegistriesConfig.ready()``."""
    register_messages(
        cloud_accounts_messages, connection_test_messages, connectors_messages, registries_messages, oci_messages
    )
    kinds.register(JobKind(model=CloudDiscovery, run=tasks.discover, cluster="quick", slots=1, at_once=3))

    ticks.register(discovery.enqueue_due_discoveries)
    ticks.register(nightly.enqueue_due_syncs)

    keys.register("credential_keys", credential_encryption.read_keys)

    registered_listings.register(REGISTRIES, page="registries:registry-list", drawer_page="registries:registry-list")
    registered_listings.register(SYNCS, page="registries:sync-list")

    visibility.REGISTRIES_OF.register(registry_visibility.registries_of)
    outbound_http.OUTBOUND_SESSION.register(outbound.OutboundSession)

    installation_checks.register(registry_checks.checks, order=40)
