"""What the inventory adds to the tables of the console."""

from __future__ import annotations

from django.conf import settings

from console.db import cached_counts, trigram_indexes
from console.i18n.messages import register as register_messages
from console.jobs import kinds, ticks
from console.jobs.kinds import JobKind
from console.listing import registered_listings
from inventory import messages as inventory_messages
from inventory import search_indexes, tasks
from inventory.dashboard import figures, trend
from inventory.sync import messages as sync_messages
from inventory.tables import IMAGES
from registries.models import Removal, SyncRun


def register() -> None:
    """Fill the tables; called once, by ``InventoryConfig.ready()``."""
    register_messages(inventory_messages, sync_messages)
    kinds.register(JobKind(model=SyncRun, run=tasks.sync, cluster="quick", slots=settings.QUICK_WORKERS, at_once=3))
    kinds.register(JobKind(model=Removal, run=tasks.remove, cluster="quick", slots=1))

    ticks.register(trend.write_snapshots, order=10)  # behind what starts work

    registered_listings.register(IMAGES, page="inventory:image-list", drawer_page="inventory:image-list")
    trigram_indexes.register(search_indexes.INDEXES)
    cached_counts.register("overview", figures.count_overview)
