"""Findings of one image, each with the layer that brought it."""

from __future__ import annotations

from typing import Any

from django.db import models
from django.utils.translation import gettext_lazy as _

from console.visibility import Scope, ScopedManager
from inventory.models.listing import tagged
from scanning.models.packages import SeverityRank


class ImagePackage(models.Model):
    """That an image holds a variant of a package. Its vulnerabilities are those of the variant."""

    # The two indexes below begin with these columns: indexes of their own would be of no use.
    image = models.ForeignKey(
        "inventory.Image", on_delete=models.CASCADE, related_name="image_packages", db_index=False
    )
    variant = models.ForeignKey(
        "scanning.PackageVariant", on_delete=models.CASCADE, related_name="image_packages", db_index=False
    )
    # That of the variant, kept here for names in lists: save() fills it in. It goes with the variant; images are looked
    # up by variants.
    package = models.ForeignKey(
        "scanning.Package",
        on_delete=models.DO_NOTHING,
        related_name="+",
        db_index=False,
        db_constraint=False,
        editable=False,
    )
    path = models.CharField(max_length=1000, blank=True)
    diff_id = models.CharField(max_length=140, blank=True)

    objects = ScopedManager["ImagePackage"]()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["image", "variant", "path"], name="imagepackage_unique")]
        indexes = [models.Index(fields=["variant", "image"], name="imagepackage_holders")]

    def save(self, *args: Any, **kwargs: Any) -> None:
        """Save the row with the package of its variant: the column repeats it for indexes."""
        self.package_id = self.variant.package_id
        super().save(*args, **kwargs)

    def __str__(self) -> str:
        return f"variant {self.variant_id} in image {self.image_id}"

    @classmethod
    def in_scope(cls, scope: Scope) -> models.Q:
        """Those of images in scope."""
        return tagged(scope, "image")


class SecretFinding(models.Model):
    """Sensitive data in a file of an image. Only the masked line and a keyed hash are kept."""

    image = models.ForeignKey("inventory.Image", on_delete=models.CASCADE, related_name="secret_findings")
    rule = models.CharField(max_length=100)
    category = models.CharField(max_length=100, blank=True)
    title = models.CharField(max_length=300, blank=True)
    severity = models.PositiveSmallIntegerField(choices=SeverityRank.choices)
    path = models.CharField(max_length=1000)
    start_line = models.PositiveIntegerField(default=0)
    end_line = models.PositiveIntegerField(default=0)
    masked = models.TextField(blank=True)
    fingerprint = models.CharField(max_length=64)
    diff_id = models.CharField(max_length=140, blank=True)
    first_seen = models.DateTimeField(auto_now_add=True)

    objects = ScopedManager["SecretFinding"]()

    class Meta:
        indexes = [models.Index(fields=["image", "-severity"], name="secretfinding_image")]

    def __str__(self) -> str:
        return f"{self.rule} in {self.path}"

    @classmethod
    def in_scope(cls, scope: Scope) -> models.Q:
        """Those of images in scope."""
        return tagged(scope, "image")


class MalwareFinding(models.Model):
    """A virus or trojan in a file of an image."""

    class Kind(models.TextChoices):
        VIRUS = "virus", _("Virus")
        TROJAN = "trojan", _("Trojan")

    image = models.ForeignKey("inventory.Image", on_delete=models.CASCADE, related_name="malware_findings")
    engine = models.CharField(max_length=20)
    rule = models.CharField(max_length=200)
    family = models.CharField(max_length=100, blank=True)
    kind = models.CharField(max_length=10, choices=Kind.choices)
    severity = models.PositiveSmallIntegerField(choices=SeverityRank.choices)
    description = models.TextField(blank=True)
    reference = models.CharField(max_length=500, blank=True)
    path = models.CharField(max_length=1000)
    size = models.BigIntegerField(default=0)
    sha256 = models.CharField(max_length=64)
    diff_id = models.CharField(max_length=140)
    first_seen = models.DateTimeField(auto_now_add=True)

    objects = ScopedManager["MalwareFinding"]()

    class Meta:
        indexes = [models.Index(fields=["image", "-severity"], name="malwarefinding_image")]

    def __str__(self) -> str:
        return f"{self.rule} in {self.path}"

    @classmethod
    def in_scope(cls, scope: Scope) -> models.Q:
        """Those of images in scope."""
        return tagged(scope, "image")
