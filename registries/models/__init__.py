"""Registries, the records of their syncs, and the jobs and tests around them; keys of clouds that find them."""

from registries.models.cloud_account import CloudAccount
from registries.models.cloud_discovery import CloudDiscovery
from registries.models.connection_test import ConnectionTest
from registries.models.pull_unit import PullUnit
from registries.models.push_event import PushAddress, PushEvent
from registries.models.registry import Registry
from registries.models.removal import Removal
from registries.models.sync_run import SyncRun

__all__ = [
    "CloudAccount",
    "CloudDiscovery",
    "ConnectionTest",
    "PullUnit",
    "PushAddress",
    "PushEvent",
    "Registry",
    "Removal",
    "SyncRun",
]
