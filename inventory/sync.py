"""One sync of one registry: what it lists becomes rows, what is gone from a complete listing goes.

The crew's threads list and ask for digests and manifests; the main thread writes what they bring, in batches, while
they go on. Nothing is held for all tags at once: of a repository the names of its tags, of the registry the names of
its repositories. A sync that is broken off goes on where it stopped: repositories it has read whole are not read again.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import partial

from django.db import IntegrityError, transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from console.jobs.errors import JobFailure
from console.jobs.models import State
from console.jobs.work import JobRun
from inventory.content import ManifestFact, known_manifests, store
from inventory.crew import Crew
from inventory.models import Manifest, Repository, Tag
from inventory.record import Seen, Tally, record_tags
from inventory.resolve import fetch, fetch_config, record_configs, unreadable
from inventory.retire import prune, retire_repository, retire_tags
from inventory.troubles import Troubles
from registries.clients import RegistryClient, open_client
from registries.connectors.base import TagRef
from registries.models import Registry, SyncRun
from registries.oci.errors import NotFoundError, RegistryError, UnauthorizedError
from registries.oci.kinds import is_artifact_tag
