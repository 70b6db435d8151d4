"""All models of the console; each lies in the package that it belongs to."""

from __future__ import annotations

from console.accounts.models import Team, User
from console.audit.models import AppendOnlyError, AuditEvent, AuditEventQuerySet
from console.db.models import KeptFigures
from console.exports.models import Export
from console.jobs.models import Canary, JobEvent, ScanCanary
from console.listing.models import SavedView
from console.machines.models import FileChunk, FleetVersion, Machine, StoredFile

__all__ = [
    "AppendOnlyError",
    "AuditEvent",
    "AuditEventQuerySet",
    "Canary",
    "Export",
    "FileChunk",
    "FleetVersion",
    "JobEvent",
    "KeptFigures",
    "Machine",
    "SavedView",
    "ScanCanary",
    "StoredFile",
    "Team",
    "User",
]
