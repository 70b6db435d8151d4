"""Content, named by digests. What registries share is proven by content: see each model for what proves it."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.db import models
from django.db.models import Case, F, Value, When
from django.db.models.functions import Cast, Coalesce, Least
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from console.i18n.fields import MessageField
from console.i18n.message_codes import NOTHING, Message
from console.visibility import Scope, ScopedManager, sees
from inventory.models.listing import tagged

RISK_ORDER_BASE = 10_000  # findings of one severity


class Manifest(models.Model):
    """One manifest or index, named by its digest. What is no image is remembered too, so it is asked for once.

    Only images are shared by registries (``registry`` None): all that is kept of one follows from its bytes. The other
    kinds belong to the registry that gave them: of an index it matters which of its images are there, and the type
    that a registry states decides what is no image. A shared row grants nothing: a registry's tag gets it after that
    registry has delivered the bytes, and leads to an Image by itself.

    UNREADABLE is a tag's manifest that a registry lists and does not give, or that makes no sense. The image of such a
    tag is a stand-in that says why (state FAILED, reason, remedy), and each sync asks for it again.
    """

    class Kind(models.TextChoices):
        IMAGE = "image", _("Image")
        INDEX = "index", _("Index")
        OTHER = "other", _("Not an image")
        UNREADABLE = "unreadable", _("Unreadable")

    digest = models.CharField(max_length=140)
    registry = models.ForeignKey(
        "registries.Registry", null=True, on_delete=models.CASCADE, related_name="+", db_index=False
    )
    media_type = models.CharField(max_length=255, blank=True)
    kind = models.CharField(max_length=10, choices=Kind.choices)
    artifact_type = models.CharField(max_length=255, blank=True)  # why it is not shown, where kind is OTHER
    size = models.BigIntegerField(default=0)  # bytes of config and layers as pulled; of an index: its default platform
    # The image ID that it names: of an index that of the default platform (linux/amd64, else the first).
    image_digest = models.CharField(max_length=140, blank=True)
    default_manifest = models.ForeignKey("self", null=True, on_delete=models.SET_NULL, related_name="+")  # of an index
    last_seen_at = models.DateTimeField(default=timezone.now)  # about when a sync last met it; exact to some days

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["digest", "registry"], name="manifest_of_registry"),
            models.UniqueConstraint(fields=["digest"], condition=models.Q(registry=None), name="manifest_shared"),
        ]

    def __str__(self) -> str:
        return self.digest

    @property
    def leaf_id(self) -> int:
        """Primary key of the manifest that names config and layers: of an index that of its default platform."""
        return self.default_manifest_id or self.pk


class PlatformManifest(models.Model):
    """One image of an index. ``manifest`` is None until the image was fetched; of an index only the default one is."""

    index = models.ForeignKey(Manifest, on_delete=models.CASCADE, related_name="platforms")
    position = models.PositiveSmallIntegerField()
    digest = models.CharField(max_length=140)
    platform = models.CharField(max_length=80, blank=True)  # os/architecture[/variant]; "" is unknown
    size = models.BigIntegerField(default=0)
    manifest = models.ForeignKey(Manifest, null=True, on_delete=models.SET_NULL, related_name="+")
    absent = models.BooleanField(default=False)  # the index names it, the registry does not hold it (a sparse index)

    class Meta:
        ordering = ["index_id", "position"]
        constraints = [models.UniqueConstraint(fields=["index", "position"], name="platformmanifest_position")]

    def __str__(self) -> str:
        return f"{self.platform} {self.digest}"


class Layer(models.Model):
    """One layer as registries hold it, compressed or not. ``diff_id`` is the digest of its uncompressed tar.

    Only a pull writes ``diff_id``, ``verified`` and ``samples``, and then ``size`` too: before, that is what the first
    manifest claims that names the layer.
    """

    digest = models.CharField(max_length=140, unique=True)
    diff_id = models.CharField(max_length=140, blank=True, db_index=True)  # "" until a pull has proven it
    verified = models.BooleanField(default=False)
    size = models.BigIntegerField()  # as pulled
    media_type = models.CharField(max_length=255, blank=True)
    samples = models.BinaryField(
        null=True
    )  # what other registries are asked that name it: see inventory.content.layer_proof

    def __str__(self) -> str:
        return self.digest


class RegistryLayer(models.Model):
    """That a registry holds a layer: it has delivered it, or has answered right what was asked of its content.

    What is known of a layer counts for images of these registries alone.
    """

    registry = models.ForeignKey("registries.Registry", on_delete=models.CASCADE, related_name="+", db_index=False)
    layer = models.ForeignKey(Layer, on_delete=models.CASCADE, related_name="registry_layers")

    objects = ScopedManager["RegistryLayer"]()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["registry", "layer"], name="registrylayer_unique")]

    def __str__(self) -> str:
        return f"layer {self.layer_id} in registry {self.registry_id}"

    @classmethod
    def in_scope(cls, scope: Scope) -> models.Q:
        """Those of registries in scope."""
        return models.Q(registry__in=scope.registries)


class ManifestLayer(models.Model):
    """The layers of a manifest, from the base upwards."""

    manifest = models.ForeignKey(Manifest, on_delete=models.CASCADE, related_name="manifest_layers")
    position = models.PositiveSmallIntegerField()
    layer = models.ForeignKey(Layer, on_delete=models.PROTECT, related_name="manifest_layers")
    size = models.BigIntegerField(default=0)  # as the manifest says; 0 where it does not (schema 1)

    class Meta:
        ordering = ["manifest_id", "position"]
        constraints = [models.UniqueConstraint(fields=["manifest", "position"], name="manifestlayer_position")]

    def __str__(self) -> str:
        return f"{self.manifest_id} #{self.position}"


def _risk_order() -> Any:
    """Return a number that orders images by their worst finding, then by how many there are of each severity."""
    order: Any = Cast(F("highest"), models.BigIntegerField())
    for severity in ("critical", "high", "medium", "low"):
        order = order * Value(RISK_ORDER_BASE) + Least(
            Coalesce(F(severity), Value(0)), Value(RISK_ORDER_BASE - 1), output_field=models.BigIntegerField()
        )
    return order


class Image(models.Model):
    """What one config digest (image ID) names, as far as that is proven.

    A row with ``registry`` and ``manifest`` belongs to the tags of this registry that lead to this manifest, and to no
    other: whoever names a config has not shown that it holds the image. Once a scan has proven that the registry
    delivers the config and exactly the layers that it names, these tags hang on the shared row of the image ID, which
    has neither: it is scanned once, whatever tags, manifests and registries hold it. Only
    :mod:`inventory.content.image_sharing` moves tags between such rows.

    The fields below ``scan_state`` are the summary of its findings. Only :mod:`inventory.image_summary` writes them;
    None in a count means "not known", zero means that nothing was found.
    """

    class ScanState(models.TextChoices):
        NOT_SCANNED = "not-scanned", _("Not scanned")
        QUEUED = "queued", _("Scanning")
        RUNNING = "running", _("Scanning")
        SCANNED = "scanned", _("Scanned")
        FAILED = "failed", _("Scan exception")
        CANCELLED = "cancelled", _("Cancelled")

        @classmethod
        def active(cls) -> tuple[Image.ScanState, ...]:
            """Return the states of an image that waits for a scan or is being scanned."""
            return (cls.QUEUED, cls.RUNNING)

    class Severity(models.IntegerChoices):
        """Rank of the worst finding; higher is worse."""

        NONE = 0, _("None")
        UNKNOWN = 1, _("Unknown")
        LOW = 2, _("Low")
        MEDIUM = 3, _("Medium")
        HIGH = 4, _("High")
        CRITICAL = 5, _("Critical")

    class Coverage(models.TextChoices):
        """How the last scan that was to look for a category came out; "" where none ever was."""

        NONE = "", _("Category not scanned")
        DONE = "done", _("Scanned")
        PARTIAL = "partial", _("Partly scanned")
        FAILED = "failed", _("Scan exception")
        UNSUPPORTED = "unsupported", _("Unsupported")

    class Security(models.TextChoices):
        """What is known of the security of an image. The values sort by what wants a person first."""

        AT_RISK = "at-risk", _("At risk")
        NOT_KNOWN = "not-known", _("Not known")
        PARTLY_SCANNED = "partly-scanned", _("Partly scanned")
        SAFE = "safe", _("Safe")

    # An image is fully scanned where each of these is done: the three categories of the product, whatever the last scan
    # was asked for. A category that nobody asked for leaves an image partly scanned.
    COVERAGES = ("vulnerabilities_coverage", "malware_coverage", "sensitive_coverage")

    # By state what wants a person first.
    SCAN_ORDER = (
        ScanState.FAILED,
        ScanState.RUNNING,
        ScanState.QUEUED,
        ScanState.CANCELLED,
        ScanState.NOT_SCANNED,
        ScanState.SCANNED,
    )

    image_id = models.CharField(max_length=140, db_index=True)  # digest of the config; schema 1: of the manifest
    registry = models.ForeignKey(
        "registries.Registry", null=True, blank=True, on_delete=models.CASCADE, related_name="+", db_index=False
    )
    manifest = models.ForeignKey(Manifest, null=True, blank=True, on_delete=models.PROTECT, related_name="+")
    os = models.CharField(max_length=40, blank=True)
    architecture = models.CharField(max_length=40, blank=True)
    variant = models.CharField(max_length=20, blank=True)
    created = models.DateTimeField(null=True, blank=True)  # build time, from the config
    # Of the config, with secrets masked: [{created, created_by, comment, empty_layer}]; see inventory.content
    history = models.JSONField(default=list, blank=True)
    config_known = models.BooleanField(default=False)  # whether the config blob was read
    layer_count = models.PositiveSmallIntegerField(null=True, blank=True)  # as its config says

    scan_state = models.CharField(
        max_length=12, choices=ScanState.choices, default=ScanState.NOT_SCANNED, db_index=True
    )
    scan_reason = MessageField(blank=True)
    scan_remedy = MessageField(blank=True)
    scanned_from = models.BigIntegerField(null=True, blank=True)  # id of the registry that reason and remedy tell of
    scan_stage = MessageField(blank=True)
    scan_percent = models.PositiveSmallIntegerField(null=True, blank=True)
    scan_started_at = models.DateTimeField(null=True, blank=True)  # of the scan that runs now
    scan_resumes_at = models.DateTimeField(null=True, blank=True)  # until when the scan that is queued waits
    last_scanned_at = models.DateTimeField(null=True, blank=True, db_index=True)
    os_name = models.CharField(max_length=80, blank=True)  # e.g. "debian 12.6", told by the scan
    critical = models.PositiveIntegerField(null=True, blank=True)
    high = models.PositiveIntegerField(null=True, blank=True)
    medium = models.PositiveIntegerField(null=True, blank=True)
    low = models.PositiveIntegerField(null=True, blank=True)
    unknown = models.PositiveIntegerField(null=True, blank=True)
    fixable = models.PositiveIntegerField(null=True, blank=True)
    viruses = models.PositiveIntegerField(null=True, blank=True)  # malware that is no trojan
    trojans = models.PositiveIntegerField(null=True, blank=True)
    sensitive = models.PositiveIntegerField(null=True, blank=True)
    packages = models.PositiveIntegerField(null=True, blank=True)
    malware_highest = models.PositiveSmallIntegerField(null=True, blank=True, choices=Severity.choices)
    sensitive_highest = models.PositiveSmallIntegerField(null=True, blank=True, choices=Severity.choices)
    # of all findings of all kinds
    highest = models.PositiveSmallIntegerField(null=True, blank=True, choices=Severity.choices)

    # Of each category what the last scan that was to look for it came to. Its count may be older: of a scan before.
    vulnerabilities_coverage = models.CharField(max_length=12, choices=Coverage.choices, blank=True)
    malware_coverage = models.CharField(max_length=12, choices=Coverage.choices, blank=True)
    sensitive_coverage = models.CharField(max_length=12, choices=Coverage.choices, blank=True)

    # What lists of a million tags are ordered and narrowed by. The database makes them of the columns above.
    scan_order = models.GeneratedField(
        expression=Case(
            *(When(scan_state=state.value, then=Value(place)) for place, state in enumerate(SCAN_ORDER)),
            default=Value(SCAN_ORDER.index(ScanState.NOT_SCANNED)),
        ),
        output_field=models.PositiveSmallIntegerField(),
        db_persist=True,
    )
    risk_order = models.GeneratedField(
        expression=_risk_order(), output_field=models.BigIntegerField(null=True), db_persist=True, null=True
    )
    security = models.GeneratedField(
        expression=Case(
            When(highest__gt=Severity.NONE.value, then=Value(Security.AT_RISK.value)),
            When(highest__isnull=True, then=Value(Security.NOT_KNOWN.value)),
            When(**dict.fromkeys(COVERAGES, Coverage.DONE.value), then=Value(Security.SAFE.value)),
            default=Value(Security.PARTLY_SCANNED.value),
        ),
        output_field=models.CharField(max_length=14, choices=Security.choices),
        db_persist=True,
    )

    class Meta:
        indexes = [
            models.Index(fields=["scan_order", "id"], name="image_scan_order"),
            models.Index(fields=["risk_order", "id"], name="image_risk_order"),
            models.Index(fields=["security", "id"], name="image_security"),
            models.Index(fields=["created", "id"], name="image_created"),
            models.Index(fields=["fixable", "id"], name="image_fixable"),
            models.Index(fields=["packages", "id"], name="image_packages"),
            models.Index(fields=["layer_count", "id"], name="image_layers"),
            models.Index(fields=["os_name", "id"], name="image_os_name"),
            models.Index(fields=["os", "architecture", "variant", "id"], name="image_platform"),
        ]
        constraints = [
            models.UniqueConstraint(fields=["registry", "manifest"], name="image_of_registry"),
            models.UniqueConstraint(fields=["image_id"], condition=models.Q(registry=None), name="image_shared"),
            models.CheckConstraint(
                condition=models.Q(registry=None, manifest=None)
                | models.Q(registry__isnull=False, manifest__isnull=False),
                name="image_of_both_or_none",
            ),
        ]

    objects = ScopedManager["Image"]()

    def __str__(self) -> str:
        return self.image_id

    @classmethod
    def in_scope(cls, scope: Scope) -> models.Q:
        """Those that a tag in scope names."""
        return tagged(scope, "pk")

    @property
    def is_shared(self) -> bool:
        """Whether it is proven, so that tags of several registries may hang on it."""
        return self.registry_id is None

    @property
    def reason(self) -> Message:
        """``scan_reason``, unless it tells of a registry that is hidden from whoever asks."""
        return self.scan_reason if sees(self.scanned_from) else NOTHING

    @property
    def resumes_at(self) -> datetime | None:
        """``scan_resumes_at``, likewise."""
        return self.scan_resumes_at if sees(self.scanned_from) else None

    @property
    def remedy(self) -> Message:
        """``scan_remedy``, likewise."""
        return self.scan_remedy if sees(self.scanned_from) else NOTHING

    @property
    def platform(self) -> str:
        """``os/architecture[/variant]``, or "" where it is not known."""
        return "/".join(part for part in (self.os, self.architecture, self.variant) if part)

    @property
    def vulnerabilities(self) -> int | None:
        """All vulnerabilities found, or None where none were looked for."""
        counts = (self.critical, self.high, self.medium, self.low, self.unknown)
        return None if any(count is None for count in counts) else sum(count or 0 for count in counts)

    @property
    def malware(self) -> int | None:
        """Viruses and trojans found, or None where none were looked for."""
        return None if self.viruses is None or self.trojans is None else self.viruses + self.trojans

    @property
    def is_fully_scanned(self) -> bool:
        """Whether the last scan of each category was done on everything in the image."""
        return all(getattr(self, name) == self.Coverage.DONE for name in self.COVERAGES)


class ImageLayer(models.Model):
    """The uncompressed layers of an image, from the base upwards, and the step of its history that made each."""

    image = models.ForeignKey(Image, on_delete=models.CASCADE, related_name="image_layers")
    position = models.PositiveSmallIntegerField()
    diff_id = models.CharField(max_length=140, db_index=True)
    step = models.PositiveSmallIntegerField(null=True)  # index into Image.history, None where history does not tell

    objects = ScopedManager["ImageLayer"]()

    class Meta:
        ordering = ["image_id", "position"]
        constraints = [models.UniqueConstraint(fields=["image", "position"], name="imagelayer_position")]

    def __str__(self) -> str:
        return f"{self.image_id} #{self.position}"

    @classmethod
    def in_scope(cls, scope: Scope) -> models.Q:
        """Those of images in scope."""
        return tagged(scope, "image")
