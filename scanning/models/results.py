"""What is known of each category of an image, and of each layer."""

from __future__ import annotations

from django.db import models
from django.utils.translation import gettext_lazy as _

from console.i18n.fields import MessageField, MessagesField
from console.visibility import Scope, ScopedManager
from inventory.models.listing import tagged
from scanning.models.scan import Scan


class CategoryResult(models.Model):
    """The last result of one category for one image: nothing is blank, and a failure is not a zero."""

    class Outcome(models.TextChoices):
        """How complete a result is: DONE alone makes a zero a true zero."""

        DONE = "done", _("Done")
        PARTIAL = "partial", _("Partial")
        FAILED = "failed", _("Failed")
        UNSUPPORTED = "unsupported", _("Unsupported")

    image = models.ForeignKey("inventory.Image", on_delete=models.CASCADE, related_name="category_results")
    category = models.CharField(max_length=20)  # value of RiskCategory
    outcome = models.CharField(max_length=12, choices=Outcome.choices)
    reason = MessageField(blank=True)
    remedy = MessageField(blank=True)
    engine_version = models.CharField(max_length=200, blank=True)
    database_updated_at = models.DateTimeField(null=True, blank=True)
    ended_at = models.DateTimeField()
    regressed_from = models.PositiveIntegerField(
        default=0
    )  # findings before, where for no visible reason none are left
    looked_at = models.DateTimeField(null=True)  # last time it gave a result; its findings are of then
    scan = models.ForeignKey(Scan, null=True, on_delete=models.SET_NULL, related_name="+")
    # What was said before a rematch could not match packages of the image, to be said again when one can: outcome,
    # reason, remedy and ended_at. A scan that has ended since leaves nothing to restore.
    before_failure = MessagesField(null=True, blank=True, editable=False)

    objects = ScopedManager["CategoryResult"]()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["image", "category"], name="categoryresult_unique")]

    def __str__(self) -> str:
        return f"{self.category} of image {self.image_id}: {self.outcome}"

    @classmethod
    def in_scope(cls, scope: Scope) -> models.Q:
        """Those of images in scope."""
        return tagged(scope, "image")


class LayerResult(models.Model):
    """What an engine of one version saw in one uncompressed layer, so that it need not be pulled and read again.

    ``findings`` are MalwareFact as JSON; ``record`` is what Trivy keeps of a layer, packed by
    scanning.layers.analysis_cache.
    """

    diff_id = models.CharField(max_length=140)
    engine = models.CharField(max_length=20)
    engine_version = models.CharField(max_length=200)
    findings = models.JSONField(default=list)
    files = models.PositiveIntegerField(default=0)
    bytes = models.BigIntegerField(default=0)
    skipped = MessagesField(default=list)
    record = models.BinaryField(null=True)
    seen_at = models.DateTimeField(auto_now=True)

    class Meta:
        verbose_name_plural = "layer results"
        constraints = [
            models.UniqueConstraint(fields=["diff_id", "engine", "engine_version"], name="layerevidence_unique")
        ]

    def __str__(self) -> str:
        return f"{self.engine} on {self.diff_id}"
