"""Packages and vulnerabilities: shared by all images, so one row serves every image that holds exactly the same.

What an image says of a package (its source, release, module, system, licences) is part of the row that it shares: a
PackageVariant. Vulnerabilities are those of variants. A Package groups variants on pages and holds nothing that is not
part of its own key.

The fields below ``images`` say how far a row reaches. Only :mod:`scanning.exposure.recount` writes them; an image
counts while a tag names it.
"""

from __future__ import annotations

from typing import Any

from django.db import models
from django.utils.translation import gettext_lazy as _

from console.i18n.fields import MessageField
from console.visibility import Scope, ScopedManager
from scanning.models.exposure import PackageExposure, VariantExposure, VulnerabilityExposure


class SeverityRank(models.IntegerChoices):
    """The same values as scanning.engines.base.Severity, with the words for the screen."""

    UNKNOWN = 1, _("Unknown")
    LOW = 2, _("Low")
    MEDIUM = 3, _("Medium")
    HIGH = 4, _("High")
    CRITICAL = 5, _("Critical")


class Package(models.Model):
    """One version of one package, as pages show it: named by its package URL (purl) with qualifiers, and its source.

    ``key`` is the SHA-256 (hex) of all the columns up to ``source_version``: see ``package_variants.package_key``.
    """

    key = models.CharField(max_length=64, unique=True, editable=False)
    purl = models.CharField(max_length=600, db_index=True)
    type = models.CharField(max_length=30)
    name = models.CharField(max_length=300, db_index=True)
    version = models.CharField(max_length=200)
    architecture = models.CharField(max_length=40, blank=True)
    source_name = models.CharField(max_length=300, blank=True)
    source_version = models.CharField(max_length=200, blank=True)
    first_seen = models.DateTimeField(auto_now_add=True)

    images = models.PositiveIntegerField(default=0)  # that hold it
    tags = models.PositiveIntegerField(default=0)  # that name those images
    findings = models.PositiveIntegerField(default=0)  # vulnerabilities of its variants that images hold
    highest = models.PositiveSmallIntegerField(choices=SeverityRank.choices, null=True, blank=True)  # None: it has none
    # Whether its variants that images hold have other vulnerabilities than each other. Where not, what holds of all
    # holds of those that somebody sees.
    varied = models.BooleanField(default=False, editable=False)

    objects = ScopedManager["Package"]()

    class Meta:
        indexes = [models.Index(fields=["-images", "id"], name="package_reach")]

    def __str__(self) -> str:
        return self.purl

    @classmethod
    def in_scope(cls, scope: Scope) -> models.Q:
        """Those that were counted in a registry in scope."""
        return _exposed(PackageExposure, scope, package="pk")


class PackageVariant(models.Model):
    """A package as the matcher read it within its system. Images share it that hold exactly this, and no other.

    ``key`` is the SHA-256 (hex) of all that it is matched and shown by: see ``package_variants.variant_key``.
    """

    package = models.ForeignKey(Package, on_delete=models.CASCADE, related_name="variants")
    key = models.CharField(max_length=64, unique=True)
    licenses = models.JSONField(default=list, blank=True)
    first_seen = models.DateTimeField(auto_now_add=True)

    # To match it again without its image: what Trivy knows of it and of the system around it ("" for packages of
    # programming languages). Where that does not suffice the system is None, the variant is of one image, and scans of
    # that alone match it.
    record = models.JSONField(default=dict, blank=True, editable=False)
    system = models.CharField(max_length=600, null=True, blank=True, editable=False)  # noqa: DJ001
    matched_with = models.CharField(max_length=100, blank=True, db_index=True, editable=False)  # an older one is less
    # The database that it could not be matched with, and why: see scanning.rematch.run.
    failed_with = models.CharField(max_length=100, blank=True, editable=False)
    failure = MessageField(blank=True, editable=False)

    objects = ScopedManager["PackageVariant"]()

    class Meta:
        indexes = [
            models.Index(fields=["system", "id"], name="packagevariant_by_system"),
            models.Index(fields=["failed_with"], name="packagevariant_failed", condition=~models.Q(failed_with="")),
        ]

    def __str__(self) -> str:
        return f"variant {self.pk} of package {self.package_id}"

    @classmethod
    def in_scope(cls, scope: Scope) -> models.Q:
        """Those that were counted in a registry in scope."""
        return _exposed(VariantExposure, scope, variant="pk")


class Vulnerability(models.Model):
    """One vulnerability as the databases describe it."""

    name = models.CharField(max_length=100, unique=True)  # CVE-…, GHSA-…
    title = models.TextField(blank=True)
    description = models.TextField(blank=True)
    severity = models.PositiveSmallIntegerField(choices=SeverityRank.choices, default=SeverityRank.UNKNOWN)
    severity_source = models.CharField(max_length=60, blank=True)
    cvss_score = models.FloatField(null=True, blank=True)
    cvss_vector = models.CharField(max_length=200, blank=True)
    references = models.JSONField(default=list, blank=True)
    cwes = models.JSONField(default=list, blank=True)
    published_at = models.DateTimeField(null=True, blank=True)
    modified_at = models.DateTimeField(null=True, blank=True)
    first_seen = models.DateTimeField(auto_now_add=True)

    images = models.PositiveIntegerField(default=0)  # that hold a package which has it
    tags = models.PositiveIntegerField(default=0)  # that name those images
    highest = models.PositiveSmallIntegerField(choices=SeverityRank.choices, default=SeverityRank.UNKNOWN)  # in use
    fixable = models.BooleanField(default=False)  # in one of the packages in use
    package_names = models.TextField(blank=True)  # in use, one a line
    package_types = models.CharField(max_length=200, blank=True)  # in use, each between spaces
    fixed_versions = models.TextField(blank=True)  # "name version" of packages in use, one a line, some of them

    objects = ScopedManager["Vulnerability"]()

    class Meta:
        verbose_name_plural = "vulnerabilities"
        indexes = [
            models.Index(fields=["-highest", "-images", "id"], name="vulnerability_worst"),
            models.Index(fields=["-images", "id"], name="vulnerability_reach"),
        ]

    def __str__(self) -> str:
        return self.name

    @classmethod
    def in_scope(cls, scope: Scope) -> models.Q:
        """Those that were counted in a registry in scope."""
        return _exposed(VulnerabilityExposure, scope, vulnerability="pk")


class PackageVulnerability(models.Model):
    """That a variant of a package has a vulnerability, by the database of the last match."""

    variant = models.ForeignKey(PackageVariant, on_delete=models.CASCADE, related_name="matches", db_index=False)
    # That of the variant, kept here for lists by package: save() fills it in.
    package = models.ForeignKey(
        Package, on_delete=models.CASCADE, related_name="matches", db_index=False, editable=False
    )
    vulnerability = models.ForeignKey(Vulnerability, on_delete=models.CASCADE, related_name="matches")
    severity = models.PositiveSmallIntegerField(choices=SeverityRank.choices)  # as rated for this package
    severity_source = models.CharField(max_length=60, blank=True)
    fixed_version = models.CharField(max_length=300, blank=True)
    status = models.CharField(max_length=30, blank=True)
    url = models.CharField(max_length=500, blank=True)
    first_seen = models.DateTimeField(auto_now_add=True)
    # The rematch that has brought it; None where a scan has.
    rematch = models.ForeignKey(
        "scanning.Rematch", null=True, blank=True, on_delete=models.SET_NULL, related_name="matches", editable=False
    )

    objects = ScopedManager["PackageVulnerability"]()

    class Meta:
        verbose_name_plural = "package vulnerabilities"
        constraints = [models.UniqueConstraint(fields=["variant", "vulnerability"], name="packagevulnerability_unique")]
        indexes = [
            models.Index(fields=["vulnerability", "severity"], name="packagevulnerability_by_id"),
            models.Index(fields=["package", "vulnerability"], name="packagevulnerability_package"),
        ]

    def save(self, *args: Any, **kwargs: Any) -> None:
        """Save the row with the package of its variant: the column repeats it for indexes."""
        self.package_id = self.variant.package_id
        super().save(*args, **kwargs)

    def __str__(self) -> str:
        return f"{self.variant_id} has {self.vulnerability_id}"

    @classmethod
    def in_scope(cls, scope: Scope) -> models.Q:
        """Those of variants in scope."""
        return _exposed(VariantExposure, scope, variant="variant")


def _exposed(reach: type[models.Model], scope: Scope, **thing: str) -> models.Q:
    """Return where a registry in ``scope`` has a row in ``reach`` for the thing."""
    outer: dict[str, Any] = {name: models.OuterRef(path) for name, path in thing.items()}
    return models.Q(models.Exists(reach._base_manager.filter(registry__in=scope.registries, **outer)))
