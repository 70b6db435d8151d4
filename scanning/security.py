"""What of the engines is not safe yet: for the page "Security"."""

from __future__ import annotations

from collections.abc import Iterator

from django.conf import settings
from django.utils.translation import gettext as _

from console.jobs import process
from console.security import Check
from scanning import installed


def checks() -> Iterator[Check]:
    """What the engines are, and what holds them."""
    cage = process.cage()
    if cage.network:
        text = _("Trivy has no network, and no access to other processes of the console.")
        yield Check("ok", _("Engines run in a namespace of their own"), text)
    else:
        yield Check(
            "fault",
            _("Engines are not cut off from the network"),
            _("This system grants no network namespace (%(why)s). Trivy is kept offline by its own switches alone.")
            % {"why": cage.why},
            _("Allow unprivileged user namespaces (sysctl user.max_user_namespaces, kernel.apparmor_restrict_…)."),
        )
    if cage.files:
        text = _("Trivy reads the image and its database alone, and changes neither.")
        yield Check("ok", _("Engines see none of the console's files"), text)
    else:
        yield Check(
            "advice",
            _("Engines could read the console's files"),
            _("This kernel grants no Landlock (%(why)s). Trivy runs as the user of the console, without a network.")
            % {"why": cage.why_files},
            _("Use Linux 5.13 or newer with “landlock” among its security modules (/sys/kernel/security/lsm)."),
        )
    readiness = installed.trivy().ready()
    if settings.TRIVY:
        yield Check(
            "advice",
            _("Trivy is another one than the locked one"),
            _("TALLYMAN_TRIVY names it, so its bytes are compared with nothing."),
            _("Remove the setting to use the locked one, or keep its SHA-256 from the page Engines."),
        )
    elif readiness.ready or "SHA-256" not in str(readiness.reason):
        yield Check("ok", _("Trivy is the locked one, byte for byte"))
    else:
        yield Check("fault", _("Trivy was changed"), readiness.reason, readiness.remedy)
    if settings.TRIVY_DATABASE_PLAIN_HTTP:
        yield Check(
            "fault",
            _("The vulnerability database is downloaded without TLS"),
            _("Whoever is in between can hide vulnerabilities."),
            _("Remove TALLYMAN_TRIVY_DATABASE_PLAIN_HTTP."),
        )
