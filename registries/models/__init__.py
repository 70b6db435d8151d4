"""Registries and the records of their syncs."""

from registries.models.registry import Registry
from registries.models.sync_run import SyncRun

__all__ = ["Registry", "SyncRun"]
