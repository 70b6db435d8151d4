"""Scans and what they found."""

from scanning.models.database_update import DatabaseUpdate
from scanning.models.findings import ImagePackage, MalwareFinding, SecretFinding
from scanning.models.packages import Package, PackageVulnerability, Vulnerability
from scanning.models.scan import CategoryResult, LayerEvidence, Scan

__all__ = [
    "CategoryResult",
    "DatabaseUpdate",
    "ImagePackage",
    "LayerEvidence",
    "MalwareFinding",
    "Package",
    "PackageVulnerability",
    "Scan",
    "SecretFinding",
    "Vulnerability",
]
