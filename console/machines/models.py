"""What the machines of an installation share beside their jobs. Empty on SQLite, which means one machine."""

from __future__ import annotations

from django.db import models

from console.i18n.fields import MessageField


class Machine(models.Model):
    """A machine that works jobs or serves pages, as it has last reported itself."""

    machine = models.CharField(max_length=32, unique=True)  # id of its data folder: see console.machines.identity
    host = models.CharField(max_length=120)
    folder = models.CharField(max_length=300)  # its data folder
    serves = models.BooleanField(default=False)  # whether it runs the web server
    last_seen = models.DateTimeField()
    ready = models.BooleanField(default=False)  # to take scans
    reason = MessageField(blank=True)  # why it is not, for a person
    remedy = MessageField(blank=True)
    versions = models.JSONField(default=dict)  # of what scans there: see scanning.fleet.versions

    class Meta:
        ordering = ["host", "id"]

    def __str__(self) -> str:
        return self.host


class SharedFile(models.Model):
    """A file on its way between machines, in chunks. It never changes once it is there."""

    sha256 = models.CharField(max_length=64, blank=True)  # hex; empty until all chunks are there
    size = models.PositiveBigIntegerField(default=0)  # bytes
    created_at = models.DateTimeField(auto_now_add=True)
    delete_after = models.DateTimeField(null=True)  # None: while something uses it

    class Meta:
        ordering = ["-id"]

    def __str__(self) -> str:
        return f"file {self.pk}"


class FileChunk(models.Model):
    """A part of a stored file; parts are numbered from 0."""

    file = models.ForeignKey(SharedFile, on_delete=models.CASCADE, related_name="chunks")
    number = models.PositiveIntegerField()
    content = models.BinaryField()

    class Meta:
        constraints = [models.UniqueConstraint("file", "number", name="file_chunk_once")]

    def __str__(self) -> str:
        return f"chunk {self.number} of file {self.file_id}"


class FleetVersion(models.Model):
    """Which version of something all machines use: the vulnerability database, the team's rules, the settings."""

    name = models.CharField(max_length=20, unique=True)
    version = models.CharField(max_length=60)  # for a person
    sha256 = models.CharField(max_length=64)  # hex; of the file, where there is one
    file = models.ForeignKey(SharedFile, on_delete=models.PROTECT, null=True, related_name="+")
    values = models.JSONField(default=dict)  # of settings: name → value
    machine = models.CharField(max_length=32)  # id of the machine that it comes from
    host = models.CharField(max_length=120)
    is_fixed = models.BooleanField(default=False)  # of settings: no machine that serves pages takes the place by itself
    changed_at = models.DateTimeField(auto_now=True)

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return f"{self.name} {self.version}"
