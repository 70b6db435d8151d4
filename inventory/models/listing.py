"""What registries list: repositories and their tags. A Tag row is what the page calls an image."""

from __future__ import annotations

from typing import Any

from django.db import models
from django.utils.translation import gettext_lazy as _

from console.visibility import Scope, ScopedManager


class Repository(models.Model):
    """One repository of a registry, by the name the registry lists."""

    registry = models.ForeignKey("registries.Registry", on_delete=models.CASCADE, related_name="repository_set")
    name = models.CharField(max_length=300)
    first_seen = models.DateTimeField(auto_now_add=True)
    synced_at = models.DateTimeField(null=True, blank=True)  # when a sync last read all of its tags

    objects = ScopedManager["Repository"]()

    class Meta:
        verbose_name_plural = "repositories"
        constraints = [models.UniqueConstraint(fields=["registry", "name"], name="repository_unique")]

    def __str__(self) -> str:
        return self.name

    @classmethod
    def in_scope(cls, scope: Scope) -> models.Q:
        """Those of registries in scope."""
        return models.Q(registry__in=scope.registries)


class Tag(models.Model):
    """One tag that names an image. A tag whose loss is believed is deleted; its Image may stay."""

    repository = models.ForeignKey(Repository, on_delete=models.CASCADE, related_name="tags")
    # That of the repository, kept here for lists of one registry in order. save() fills it in.
    registry = models.ForeignKey(
        "registries.Registry", on_delete=models.CASCADE, related_name="+", db_index=False, editable=False
    )
    name = models.CharField(max_length=300)  # the page's "Image version"
    digest = models.CharField(max_length=140, db_index=True)  # of the manifest or index the tag points to
    manifest = models.ForeignKey("inventory.Manifest", on_delete=models.PROTECT, related_name="tags")
    # Another one than the manifest names where the registry has not proven that it holds it: see Image. None where the
    # image of an index could not be read.
    image = models.ForeignKey("inventory.Image", null=True, on_delete=models.PROTECT, related_name="tags")
    address = models.CharField(max_length=600)  # host/path without the tag, as in `docker pull`
    size = models.BigIntegerField(default=0)  # compressed
    pushed_at = models.DateTimeField(null=True, blank=True)
    first_seen = models.DateTimeField(auto_now_add=True)
    changed_at = models.DateTimeField(null=True, blank=True)  # when a sync last saw it point elsewhere
    # Since when the registry lists it no more; kept until that is confirmed: see inventory.sync.missing.
    missing_since = models.DateTimeField(_("Missing since"), null=True, blank=True)

    objects = ScopedManager["Tag"]()

    class Meta:
        ordering = ["id"]
        constraints = [models.UniqueConstraint(fields=["repository", "name"], name="tag_unique")]
        indexes = [
            models.Index(fields=["address", "name", "id"], name="tag_address"),
            models.Index(fields=["registry", "address", "name", "id"], name="tag_registry"),
            models.Index(fields=["name", "address", "id"], name="tag_name"),
            models.Index(fields=["pushed_at", "id"], name="tag_pushed"),
            models.Index(fields=["first_seen", "id"], name="tag_first_seen"),
            models.Index(fields=["size", "id"], name="tag_size"),
            models.Index(
                fields=["registry", "missing_since"],
                name="tag_missing",
                condition=models.Q(missing_since__isnull=False),
            ),
        ]

    def save(self, *args: Any, **kwargs: Any) -> None:
        """Save the row with the registry of its repository: the column repeats it for indexes."""
        self.registry_id = self.repository.registry_id
        super().save(*args, **kwargs)

    def __str__(self) -> str:
        return f"{self.address}:{self.name}"

    @classmethod
    def in_scope(cls, scope: Scope) -> models.Q:
        """Those of registries in scope."""
        return models.Q(registry__in=scope.registries)


def tagged(scope: Scope, image: str) -> models.Q:
    """Return where a tag in ``scope`` names the image whose id is at the path ``image``."""
    return models.Q(models.Exists(Tag._base_manager.filter(Tag.in_scope(scope), image=models.OuterRef(image))))
