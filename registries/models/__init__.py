"""Registries and the records of their syncs; accounts of clouds by which registries are found."""

from registries.models.cloud_account import CloudAccount
from registries.models.cloud_discovery import CloudDiscovery
from registries.models.pull_unit import PullUnit
from registries.models.registry import Registry
from registries.models.sync_run import SyncRun

__all__ = ["CloudAccount", "CloudDiscovery", "PullUnit", "Registry", "SyncRun"]
