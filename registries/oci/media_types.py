"""Media types of manifests, configs and layers (image-spec media-types.md; Docker image manifest 2.1 and 2.2)."""

from __future__ import annotations

OCI_INDEX = "application/vnd.oci.image.index.v1+json"
OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
OCI_CONFIG = "application/vnd.oci.image.config.v1+json"
OCI_ARTIFACT = "application/vnd.oci.artifact.manifest.v1+json"  # of OCI 1.1's release candidates only
OCI_EMPTY = "application/vnd.oci.empty.v1+json"
DOCKER_LIST = "application/vnd.docker.distribution.manifest.list.v2+json"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_CONFIG = "application/vnd.docker.container.image.v1+json"
DOCKER_LAYER = "application/vnd.docker.image.rootfs.diff.tar.gzip"
SCHEMA1_SIGNED = "application/vnd.docker.distribution.manifest.v1+prettyjws"
SCHEMA1 = "application/vnd.docker.distribution.manifest.v1+json"

INDEXES = frozenset({OCI_INDEX, DOCKER_LIST})
MANIFESTS = frozenset({OCI_MANIFEST, DOCKER_MANIFEST})
SCHEMA1S = frozenset({SCHEMA1_SIGNED, SCHEMA1})
IMAGE_CONFIGS = frozenset({OCI_CONFIG, DOCKER_CONFIG})
LAYER_PREFIXES = ("application/vnd.oci.image.layer.", "application/vnd.docker.image.rootfs.")

# Without this list a registry may convert what it holds: docker-registry 2.8 to schema 1, Quay an index to one image.
ACCEPT_MANIFESTS = ", ".join((OCI_INDEX, DOCKER_LIST, OCI_MANIFEST, DOCKER_MANIFEST, SCHEMA1_SIGNED, SCHEMA1))

# What servers and proxies say when they do not know: the body decides.
GENERIC = frozenset(
    {"", "text/plain", "text/html", "application/json", "application/octet-stream", "binary/octet-stream"}
)


def bare(content_type: str | None) -> str:
    """A Content-Type without its parameters, in lower case."""
    return (content_type or "").partition(";")[0].strip().lower()
