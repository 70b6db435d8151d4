"""Looking again at what a registry has reported as pushed or deleted."""

from __future__ import annotations

from django.db import IntegrityError, transaction
from django.utils.translation import gettext as _

from console.jobs.errors import JobFailure
from console.jobs.work import JobRun
from inventory.configs import record_given_configs
from inventory.content import ManifestFact, known_manifests, store
from inventory.models import Repository, Tag
from inventory.record import Seen, Tally, record_tags
from inventory.resolve import fetch
from inventory.retire import retire_tags
from registries.clients import RegistryClient, open_client
from registries.models import PushEvent, Registry
from registries.oci.configs import ImageConfig, parse_config
from registries.oci.errors import CredentialsRefused, NotFound, RegistryError
from registries.oci.kinds import tag_is_artifact

MANY = 50  # tags that do not vanish all at once on the word of one listing; the next sync looks closer


def look_again(run: JobRun[PushEvent]) -> list[Tag]:
    """Bring the inventory up to date with what ``run`` reports; return the tags that are new or point elsewhere.

    A tag is asked for by HEAD and its manifest only if the registry has not given it yet; a deletion leads to a new
    listing of its repository. Raises a RegistryError, or JobFailure where nothing of the reported name is there.
    """
    event = run.job
    registry = event.registry
    if registry.credentials_refused:
        raise JobFailure(
            _("The registry refused these credentials, so they are not tried again: that could lock the account."),
            _("Edit the registry and type the password again, or test the connection."),
        )
    try:
        with open_client(registry, check=run.check) as client:
            if not event.tag:
                _list_again(registry, client, event.names)
                return []
            if tag_is_artifact(event.tag):
                return []
            return _look(registry, client, names=event.names, tag=event.tag)
    except CredentialsRefused as error:
        registry.record_connection(state=Registry.Connection.REFUSED, reason=error.reason, remedy=error.remedy)
        raise


def _look(registry: Registry, client: RegistryClient, *, names: list[str], tag: str) -> list[Tag]:
    wanted = set(client.repositories()) if client.fixed else None
    for name in names:
        if wanted is not None and name not in wanted:
            continue
        try:
            digest = str(client.head(name, tag).digest)
        except NotFound:
            continue
        return _store(registry, client, name=name, tag=tag, digest=digest)
    if wanted is not None and not wanted & set(names):
        return []  # pushed to a repository that nobody wants to see here
    raise JobFailure(
        _("The registry does not hold %(name)s:%(tag)s, which it had reported as pushed.")
        % {"name": names[0], "tag": tag},
        _("Nothing to do if it was deleted since; else sync the registry."),
        retry=True,  # a listing may lag behind its event by some seconds
    )


def _store(registry: Registry, client: RegistryClient, *, name: str, tag: str, digest: str) -> list[Tag]:
    known = known_manifests([digest], registry_id=registry.pk)
    facts = [] if known else [fetch(client, repository=name, digest=digest)]
    configs = _configs(registry, client, name, facts)
    for _try in range(3):
        tally = Tally()
        try:
            with transaction.atomic():
                repository, _new = Repository.objects.get_or_create(registry=registry, name=name)
                seen = Seen(
                    repository_id=repository.pk,
                    address=f"{registry.host}/{name}",
                    repository=name,
                    name=tag,
                    digest=digest,
                )
                known = known_manifests([digest], registry_id=registry.pk)
                stored = store(facts, registry_id=registry.pk)
                record_tags([seen], registry_id=registry.pk, manifests=known | stored, tally=tally)
                record_given_configs(configs, registry_id=registry.pk)
        except IntegrityError:
            continue  # a sync is writing the same rows
        changed = tally.tags_new + tally.tags_changed
        return list(Tag.objects.filter(repository=repository, name=tag)) if changed else []
    raise JobFailure(
        _("A sync changed the same rows again and again."), _("Nothing to do: that sync sees the push too."), retry=True
    )


def _configs(
    registry: Registry, client: RegistryClient, name: str, facts: list[ManifestFact]
) -> dict[str, ImageConfig]:
    """Ask for the config of a new image, unless that would count against an hourly limit: the scan reads it then."""
    if registry.limit is not None:
        return {}
    found: dict[str, ImageConfig] = {}
    for fact in facts:
        config = (fact.default or fact).config
        if config is not None:
            try:
                found[str(config.digest)] = parse_config(client.blob_bytes(name, config))
            except RegistryError:
                continue  # the scan will tell
    return found


def _list_again(registry: Registry, client: RegistryClient, names: list[str]) -> None:
    """List a repository anew and let go of the tags that it no longer has."""
    client.ping()  # a listing without the right credentials may be empty, and would say nothing
    for repository in Repository.objects.filter(registry=registry, name__in=names):
        try:
            listed = {ref.name for ref in client.tags(repository.name)}
        except NotFound:
            listed = set()
        if not listed and Tag.objects.filter(repository=repository).count() >= MANY:
            continue
        retire_tags({repository.pk: listed})
