"""All models of the console; each lies in the package that it belongs to."""

from __future__ import annotations

from console.accounts.models import Team, User
from console.audit.models import AppendOnlyError, AuditEvent, AuditEventQuerySet
from console.db.models import CachedCount
from console.exports.models import Export
from console.jobs.models import HealthProbe, JobEvent, ScanHealthProbe
from console.listing.models import SavedView
from console.machines.models import FileChunk, FleetVersion, Machine, SharedFile

__all__ = [
    "AppendOnlyError",
    "AuditEvent",
    "AuditEventQuerySet",
    "CachedCount",
    "Export",
    "FileChunk",
    "FleetVersion",
    "HealthProbe",
    "JobEvent",
    "Machine",
    "SavedView",
    "ScanHealthProbe",
    "SharedFile",
    "Team",
    "User",
]
