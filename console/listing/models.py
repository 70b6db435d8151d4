"""SavedView: filters, order and columns of a list under a name."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models.functions import Lower
from django.utils.text import slugify

from console.visibility import Scope, ScopedManager


class SavedView(models.Model):
    """Filters, order and columns of a list that somebody keeps under a name."""

    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="views")
    listing = models.CharField(max_length=40)
    name = models.CharField(max_length=60)
    query = models.TextField(blank=True)  # as in the address, without "?"
    columns = models.JSONField(null=True, blank=True)  # None: those of the person
    is_default = models.BooleanField(default=False)  # what the list opens with for its owner
    shared = models.BooleanField(default=False)  # everybody may open it, its owner alone may change it

    objects = ScopedManager["SavedView"]()

    class Meta:
        ordering = ["name", "id"]
        constraints = [
            models.UniqueConstraint("user", "listing", Lower("name"), name="view_name_once"),
            models.UniqueConstraint(
                fields=["user", "listing"], condition=models.Q(is_default=True), name="view_one_default"
            ),
        ]

    def __str__(self) -> str:
        return self.name

    @classmethod
    def in_scope(cls, scope: Scope) -> models.Q:
        """Own ones: what others call and search for may tell of what is hidden."""
        return models.Q(user__in=[scope.person])

    @property
    def key(self) -> str:
        """What stands in addresses; the number decides, the words are for people."""
        return f"{self.pk}-{slugify(self.name, allow_unicode=True)[:40]}".rstrip("-")
