"""Scans and what they found."""

from scanning.models.exposure import (
    ExposureRecount,
    PackageExposure,
    PackageOverlap,
    RegistrySet,
    VariantExposure,
    VulnerabilityExposure,
    VulnerabilityOverlap,
)
from scanning.models.findings import ImagePackage, MalwareFinding, SecretFinding
from scanning.models.packages import Package, PackageVariant, PackageVulnerability, Vulnerability
from scanning.models.rematch import Rematch
from scanning.models.results import CategoryResult, LayerResult
from scanning.models.run import ScanRun, ScanScope
from scanning.models.scan import Scan, ScanStage
from scanning.models.scan_settings import ScanSettings
from scanning.models.schedule import ScanSchedule, ScheduleRun
from scanning.models.selection import Selection
from scanning.models.subscription import ScanSubscription
from scanning.models.vulndb_update import VulndbUpdate

__all__ = [
    "CategoryResult",
    "ExposureRecount",
    "ImagePackage",
    "LayerResult",
    "MalwareFinding",
    "Package",
    "PackageExposure",
    "PackageOverlap",
    "PackageVariant",
    "PackageVulnerability",
    "RegistrySet",
    "Rematch",
    "Scan",
    "ScanRun",
    "ScanSchedule",
    "ScanScope",
    "ScanSettings",
    "ScanStage",
    "ScanSubscription",
    "ScheduleRun",
    "SecretFinding",
    "Selection",
    "VariantExposure",
    "VulndbUpdate",
    "Vulnerability",
    "VulnerabilityExposure",
    "VulnerabilityOverlap",
]
