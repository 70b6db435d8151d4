"""Which registry holds which layer: one that has delivered it, or that answers right what is asked of its content.

A digest is no secret, so that a registry names a layer says nothing. When a layer is pulled for the first time, a few
short parts of it are remembered by a keyed hash: some at places that nobody can foresee, and its end, which in packed
layers is a checksum of all that is in it. Another registry that names the layer is asked for these parts (HTTP Range):
that shows the same as a pull would, in some hundred bytes. Where a part could be guessed nothing is asked, and the
layer is pulled.
"""

from __future__ import annotations

import hmac
import io
import secrets
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, BinaryIO

from django.db import IntegrityError, transaction
from django.db.models import BigIntegerField, BinaryField, Case, CharField, Exists, Field, OuterRef, Q, Value, When
from django.utils.crypto import salted_hmac

from inventory.models import Layer, RegistryLayer
from registries.clients import RegistryClient
from registries.oci.errors import Unreachable
from registries.oci.manifests import Descriptor

SAMPLE_COUNT = 5  # the last one at the end
SAMPLE_BYTES = 64
MIN_DISTINCT_BYTES = (
    24  # different bytes in a part that nobody guesses: packed data has some 57, zeros or what repeats has few
)
MIN_SAMPLED_BLOB_BYTES = 64 * 1024  # a smaller blob is pulled: that takes one request
SHA256_PREFIX = "sha256:"  # how diff IDs begin
_OFFSET_BYTES, _HASH_BYTES = 8, 32


@dataclass(frozen=True)
class LayerStatus:
    """What is known of a layer. ``held`` says whether the registry asked about holds it."""

    key: int
    diff_id: str  # "" where no pull has proven it
    held: bool


@dataclass
class BlobSampler:
    """A blob as it is read: how many bytes, and the parts of it at ``offsets``."""

    offsets: Sequence[int]
    count: int = 0
    parts: dict[int, bytearray] = field(default_factory=dict)

    def add(self, chunk: bytes) -> None:
        """Note the next bytes of the blob."""
        for offset in self.offsets:
            if self.count < offset + SAMPLE_BYTES and offset < self.count + len(chunk):
                start = max(offset - self.count, 0)
                end = offset + SAMPLE_BYTES - self.count
                self.parts.setdefault(offset, bytearray()).extend(chunk[start:end])
        self.count += len(chunk)

    @property
    def samples(self) -> bytes:
        """The parts as they are kept; none where the blob is too small for any, or one could be guessed."""
        if any(len(set(self.parts[offset])) < MIN_DISTINCT_BYTES for offset in self.offsets):
            return b""
        return b"".join(offset.to_bytes(_OFFSET_BYTES) + _hash(self.parts[offset]) for offset in self.offsets)


@dataclass(frozen=True)
class PulledLayer:
    """What a pull has proven of a layer: the content of its blob has this diff ID and size."""

    diff_id: str
    size: int
    samples: bytes


def layer_statuses(digests: Iterable[str], *, registry_id: int) -> dict[str, LayerStatus]:
    """Return what is known of these layers, by digest, and whether this registry holds them."""
    held = Exists(RegistryLayer._base_manager.filter(registry=registry_id, layer=OuterRef("pk")))
    rows = Layer.objects.filter(digest__in=list(digests)).annotate(held=held)
    return {
        digest: LayerStatus(key, diff_id if verified else "", held)
        for digest, key, diff_id, verified, held in rows.values_list("digest", "pk", "diff_id", "verified", "held")
    }


def record_pulled(pulled: Mapping[int, PulledLayer], *, registry_id: int) -> None:
    """Write what pulls from a registry have proven of layers (by primary key), and that it holds them.

    A diff ID that is known by SHA-256 is not replaced by one of another algorithm, which some config alone asks for.
    """
    if not pulled:
        return
    others = [key for key, each in pulled.items() if not each.diff_id.startswith(SHA256_PREFIX)]
    known = Q(pk__in=others, verified=True, diff_id__startswith=SHA256_PREFIX)
    Layer.objects.filter(~known, pk__in=sorted(pulled)).update(
        verified=True,
        diff_id=_each({key: each.diff_id for key, each in pulled.items()}, CharField()),
        size=_each({key: each.size for key, each in pulled.items()}, BigIntegerField()),
        samples=_each({key: each.samples for key, each in pulled.items()}, BinaryField()),
    )
    record_availability(pulled, registry_id=registry_id)


def record_availability(layers: Iterable[int], *, registry_id: int) -> None:
    """Write that a registry has shown to hold these layers. One that is gone meanwhile is no error."""
    rows = [RegistryLayer(registry_id=registry_id, layer_id=key) for key in sorted(layers)]
    with suppress(IntegrityError), transaction.atomic():
        RegistryLayer.objects.bulk_create(rows, ignore_conflicts=True)


def samples_of(digests: Iterable[str]) -> dict[str, bytes]:
    """Return what can be asked of these layers, by digest; those of which nothing can be are left out."""
    rows = Layer.objects.filter(digest__in=list(digests), verified=True, samples__isnull=False)
    return {digest: bytes(samples) for digest, samples in rows.values_list("digest", "samples") if samples}


def has_layer(client: RegistryClient, repository: str, blob: Descriptor, samples: bytes) -> bool:
    """Ask a registry for the parts of ``blob`` that ``samples`` tells of, and return whether they are right.

    False also where it gives no parts; it may hold the blob then nevertheless. Raises RegistryError.
    """
    step = _OFFSET_BYTES + _HASH_BYTES
    if not samples or len(samples) % step:
        return False
    for start in range(0, len(samples), step):
        offset = int.from_bytes(samples[start : start + _OFFSET_BYTES])
        try:
            part = client.blob_part(repository, blob, start=offset, length=SAMPLE_BYTES)
        except Unreachable:
            return False  # whoever reads it whole takes a broken connection up again
        if part is None or not hmac.compare_digest(_hash(part), samples[start + _OFFSET_BYTES : start + step]):
            return False
    return True


@contextmanager
def sampling(blob: AbstractContextManager[BinaryIO], sampler: BlobSampler) -> Iterator[BinaryIO]:
    """Open ``blob``, and note in ``sampler`` what is read of it."""
    with blob as content, _SamplingReader(content, sampler) as reader:
        yield reader  # type: ignore[misc]  # read() is all that is asked of it


def make_sampler(blob: Descriptor) -> BlobSampler:
    """Return what notes parts of ``blob`` as it is read: at a random place in each of equal spans, and at its end."""
    if not blob.size_known or blob.size < MIN_SAMPLED_BLOB_BYTES:
        return BlobSampler(())
    span = (blob.size - SAMPLE_BYTES) // (SAMPLE_COUNT - 1)
    offsets = [number * span + secrets.randbelow(span - SAMPLE_BYTES) for number in range(SAMPLE_COUNT - 1)]
    return BlobSampler([*offsets, blob.size - SAMPLE_BYTES])


class _SamplingReader(io.RawIOBase):
    def __init__(self, content: BinaryIO, sampler: BlobSampler) -> None:
        self._content, self._sampler = content, sampler

    def read(self, size: int = -1, /) -> bytes:
        chunk = self._content.read(size)
        self._sampler.add(chunk)
        return chunk


def _hash(part: bytes | bytearray) -> bytes:
    return salted_hmac("inventory.content.layer_proof", bytes(part), algorithm="sha256").digest()


def _each(values: Mapping[int, object], output: Field[Any, Any]) -> Case:
    return Case(*(When(pk=key, then=Value(value, output_field=output)) for key, value in values.items()))
