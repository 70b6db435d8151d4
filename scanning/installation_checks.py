"""What of the engines is not safe yet: for the page "Security"."""

from __future__ import annotations

from collections.abc import Iterator

from django.conf import settings
from django.utils.translation import gettext as _

from console.i18n.messages import tell
from console.sandbox import run as sandbox_run
from console.server.installation_checks import InstallationCheck
from scanning import scanners


def checks() -> Iterator[InstallationCheck]:
    """What the engines are, and what holds them."""
    yield from _sandbox_checks(sandbox_run.sandbox_support())
    readiness = scanners.trivy().ready()
    if settings.TRIVY:
        yield InstallationCheck(
            "advice",
            _("Trivy is another one than the locked one"),
            _("TALLYMAN_TRIVY names it, so its bytes are compared with nothing."),
            _("Remove the setting to use the locked one, or keep its SHA-256 from the page Engines."),
        )
    elif readiness.ready or "SHA-256" not in str(readiness.reason):
        yield InstallationCheck("ok", _("Trivy is the locked one, byte for byte"))
    else:
        yield InstallationCheck("fault", _("Trivy was changed"), tell(readiness.reason), readiness.remedy)
    if settings.TRIVY_DATABASE_PLAIN_HTTP:
        yield InstallationCheck(
            "fault",
            _("The vulnerability database is downloaded without TLS"),
            _("Whoever is in between can hide vulnerabilities."),
            _("Remove TALLYMAN_TRIVY_DATABASE_PLAIN_HTTP."),
        )


def _sandbox_checks(cage: sandbox_run.SandboxSupport) -> Iterator[InstallationCheck]:
    """What the system grants to hold what reads images: Trivy, and the process that reads layers for the others."""
    if cage.network:
        text = _("Trivy and YARA-X have no network, and no access to other processes of the console.")
        yield InstallationCheck("ok", _("Engines run in a namespace of their own"), text)
    else:
        yield InstallationCheck(
            "fault",
            _("Engines are not cut off from the network"),
            _(
                "This system grants no network namespace (%(why)s). Engines are offline by their own switches alone:"
                " whoever takes one over may find a way."
            )
            % {"why": cage.why},
            _("Allow unprivileged user namespaces (sysctl user.max_user_namespaces, kernel.apparmor_restrict_…)."),
        )
    if cage.files:
        text = _("Trivy reads the image and its database alone, YARA-X the layer it is given; they change neither.")
        yield InstallationCheck("ok", _("Engines see none of the console's files"), text)
    else:
        yield InstallationCheck(
            "fault",
            _("Engines could read the console's files"),
            _(
                "This kernel grants no Landlock (%(why)s). Engines run as the user of the console, who may read its"
                " keys."
            )
            % {"why": cage.files_error},
            _("Use Linux 5.13 or newer with “landlock” among its security modules (/sys/kernel/security/lsm)."),
        )
    if cage.calls:
        text = _(
            "Services of this machine that listen at a file, such as PostgreSQL or Docker, cannot be asked by them."
        )
        yield InstallationCheck("ok", _("Engines are refused the system calls they do not need"), text)
    else:
        yield InstallationCheck(
            "advice",
            _("Engines may make any system call"),
            _(
                "This system grants no filter of calls (%(why)s). Services that listen at a file, such as PostgreSQL or"
                " Docker, can be asked by engines as the user of the console."
            )
            % {"why": cage.calls_error},
            _("Use an x86_64 or aarch64 kernel with seccomp (CONFIG_SECCOMP_FILTER), and a container that allows it."),
        )
