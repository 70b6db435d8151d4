"""Registries and the records of their syncs."""

from registries.models.pull_unit import PullUnit
from registries.models.registry import Registry
from registries.models.sync_run import SyncRun

__all__ = ["PullUnit", "Registry", "SyncRun"]
