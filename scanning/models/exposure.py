"""Where packages and vulnerabilities are, by registry; and the job that counts it."""

from __future__ import annotations

from django.db import models
from django.db.models import Q

from console.jobs.models import Job, State
from console.visibility import Scope, ScopedManager


class PackageExposure(models.Model):
    """In how many images and tags of one registry a package is. No row: in none."""

    package = models.ForeignKey("scanning.Package", on_delete=models.CASCADE, related_name="reaches", db_index=False)
    registry = models.ForeignKey("registries.Registry", on_delete=models.CASCADE, related_name="+")
    images = models.PositiveIntegerField()
    tags = models.PositiveIntegerField()

    objects = ScopedManager["PackageExposure"]()

    class Meta:
        verbose_name_plural = "package exposures"
        constraints = [models.UniqueConstraint(fields=["package", "registry"], name="packagereach_unique")]

    def __str__(self) -> str:
        return f"package {self.package_id} in registry {self.registry_id}"

    @classmethod
    def in_scope(cls, scope: Scope) -> models.Q:
        """Those of registries in scope."""
        return models.Q(registry__in=scope.registries)


class VariantExposure(models.Model):
    """That images of one registry hold a variant of a package. No row: none does."""

    variant = models.ForeignKey(
        "scanning.PackageVariant", on_delete=models.CASCADE, related_name="reaches", db_index=False
    )
    registry = models.ForeignKey("registries.Registry", on_delete=models.CASCADE, related_name="+")
    images = models.PositiveIntegerField()

    objects = ScopedManager["VariantExposure"]()

    class Meta:
        verbose_name_plural = "variant exposures"
        constraints = [models.UniqueConstraint(fields=["variant", "registry"], name="variantreach_unique")]

    def __str__(self) -> str:
        return f"variant {self.variant_id} in registry {self.registry_id}"

    @classmethod
    def in_scope(cls, scope: Scope) -> models.Q:
        """Those of registries in scope."""
        return models.Q(registry__in=scope.registries)


class VulnerabilityExposure(models.Model):
    """In how many images and tags of one registry a vulnerability is. No row: in none.

    The fields after ``tags`` are those of Vulnerability, of the packages in use in this registry.
    """

    vulnerability = models.ForeignKey(
        "scanning.Vulnerability", on_delete=models.CASCADE, related_name="reaches", db_index=False
    )
    registry = models.ForeignKey("registries.Registry", on_delete=models.CASCADE, related_name="+")
    images = models.PositiveIntegerField()
    tags = models.PositiveIntegerField()
    highest = models.PositiveSmallIntegerField(default=1)
    fixable = models.BooleanField(default=False)
    package_names = models.TextField(blank=True)
    package_types = models.CharField(max_length=200, blank=True)
    fixed_versions = models.TextField(blank=True)

    objects = ScopedManager["VulnerabilityExposure"]()

    class Meta:
        verbose_name_plural = "vulnerability exposures"
        constraints = [models.UniqueConstraint(fields=["vulnerability", "registry"], name="vulnerabilityreach_unique")]

    def __str__(self) -> str:
        return f"vulnerability {self.vulnerability_id} in registry {self.registry_id}"

    @classmethod
    def in_scope(cls, scope: Scope) -> models.Q:
        """Those of registries in scope."""
        return models.Q(registry__in=scope.registries)


class RegistrySet(models.Model):
    """Two registries or more that hold the same images: their ids in order, with commas between."""

    registries = models.TextField(unique=True)

    def __str__(self) -> str:
        return self.registries

    @property
    def ids(self) -> frozenset[int]:
        """The ids, as a set."""
        return frozenset(map(int, self.registries.split(",")))


class PackageOverlap(models.Model):
    """How many images with a package are held by all of some registries and by no other. No row: none are.

    With it the images of any registries together can be told from those of each.
    """

    package = models.ForeignKey("scanning.Package", on_delete=models.CASCADE, related_name="+", db_index=False)
    holders = models.ForeignKey(RegistrySet, on_delete=models.CASCADE, related_name="+")
    images = models.PositiveIntegerField()

    class Meta:
        verbose_name_plural = "package overlaps"
        constraints = [models.UniqueConstraint(fields=["package", "holders"], name="packageshared_unique")]

    def __str__(self) -> str:
        return f"package {self.package_id} in registries {self.holders_id}"


class VulnerabilityOverlap(models.Model):
    """The same of a vulnerability."""

    vulnerability = models.ForeignKey(
        "scanning.Vulnerability", on_delete=models.CASCADE, related_name="+", db_index=False
    )
    holders = models.ForeignKey(RegistrySet, on_delete=models.CASCADE, related_name="+")
    images = models.PositiveIntegerField()

    class Meta:
        verbose_name_plural = "vulnerability overlaps"
        constraints = [models.UniqueConstraint(fields=["vulnerability", "holders"], name="vulnerabilityshared_unique")]

    def __str__(self) -> str:
        return f"vulnerability {self.vulnerability_id} in registries {self.holders_id}"


class ExposureRecount(Job):
    """One counting of where everything is, a job while it runs and a record afterwards."""

    kind = "recount"

    images = models.PositiveIntegerField(default=0)  # looked at
    changed = models.PositiveIntegerField(default=0)  # packages and vulnerabilities whose figures were not right

    class Meta(Job.Meta):
        abstract = False
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(  # all have the same priority
                fields=["priority"], condition=Q(state__in=list(State.active())), name="recount_one_at_a_time"
            )
        ]

    def __str__(self) -> str:
        return f"recount {self.pk}"
