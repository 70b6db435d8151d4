"""Scans and what they found."""

from scanning.models.database_update import DatabaseUpdate
from scanning.models.exposure import (
    HolderSet,
    PackageReach,
    PackageShared,
    Recount,
    VariantReach,
    VulnerabilityReach,
    VulnerabilityShared,
)
from scanning.models.findings import ImagePackage, MalwareFinding, SecretFinding
from scanning.models.packages import Package, PackageVariant, PackageVulnerability, Vulnerability
from scanning.models.quota import ScanSettings
from scanning.models.rematch import Rematch
from scanning.models.results import CategoryResult, LayerEvidence
from scanning.models.run import ScanRun, Scope
from scanning.models.scan import Scan, Stage
from scanning.models.schedule import Firing, ScanSchedule
from scanning.models.selection import Selection
from scanning.models.subscription import JoinedScan

__all__ = [
    "CategoryResult",
    "DatabaseUpdate",
    "Firing",
    "HolderSet",
    "ImagePackage",
    "JoinedScan",
    "LayerEvidence",
    "MalwareFinding",
    "Package",
    "PackageReach",
    "PackageShared",
    "PackageVariant",
    "PackageVulnerability",
    "Recount",
    "Rematch",
    "Scan",
    "ScanRun",
    "ScanSchedule",
    "ScanSettings",
    "Scope",
    "SecretFinding",
    "Selection",
    "Stage",
    "VariantReach",
    "Vulnerability",
    "VulnerabilityReach",
    "VulnerabilityShared",
]
