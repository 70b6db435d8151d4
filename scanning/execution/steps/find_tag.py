"""Step: by which tag, of which registry, the image is pulled."""

from __future__ import annotations

from console.jobs.errors import JobFailure
from registries import login_guard
from scanning.execution import messages
from scanning.execution.context import ScanContext
from scanning.models import Scan


def find_tag(context: ScanContext) -> None:
    """Set ``registry`` and ``tag`` to where the image is pulled from, read anew from the database.

    Raises JobFailure if the tag is gone, and CredentialsRefused if the registry is known to refuse the login.
    """
    scan = context.run.job
    whole = Scan._base_manager.select_related("image", "registry", "tag__repository").get(pk=scan.pk)
    scan.image, scan.registry, scan.tag = whole.image, whole.registry, whole.tag
    if scan.registry is None or scan.tag is None:
        raise JobFailure(messages.TAG_GONE(), messages.SCAN_OTHER_TAG())
    if scan.registry.credentials_refused:
        raise login_guard.already_refused()
    context.registry, context.tag = scan.registry, scan.tag
