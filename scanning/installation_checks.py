"""What of the engines is not safe yet: for the page "Security"."""

from __future__ import annotations

from collections.abc import Iterator

from django.conf import settings
from django.utils.translation import gettext as _

from console.i18n.messages import translate_message
from console.sandbox import run as sandbox_run
from console.server.installation_checks import InstallationCheck
from scanning import configured_engines


def checks() -> Iterator[InstallationCheck]:
    """What the engines are, and what holds them."""
    yield from _sandbox_checks(sandbox_run.sandbox_support())
    readiness = configured_engines.trivy().ready()
    if settings.TRIVY:
        yield InstallationCheck(
            "advice",
            _("Trivy is not the pinned one"),
            _("TALLYMAN_TRIVY names it, so its checksum is not checked."),
            _("Remove the setting to use the pinned one, or note its SHA-256 from the page Scanners."),
        )
    elif readiness.ready or "SHA-256" not in str(readiness.reason):
        yield InstallationCheck("ok", _("Trivy is the pinned one, byte for byte"))
    else:
        yield InstallationCheck("fault", _("Trivy was changed"), translate_message(readiness.reason), readiness.remedy)
    if settings.TRIVY_DATABASE_PLAIN_HTTP:
        yield InstallationCheck(
            "fault",
            _("The vulnerability database is downloaded without TLS"),
            _("Anyone on the network path can hide vulnerabilities."),
            _("Remove TALLYMAN_TRIVY_DATABASE_PLAIN_HTTP."),
        )


def _sandbox_checks(cage: sandbox_run.SandboxSupport) -> Iterator[InstallationCheck]:
    """What the system grants to hold what reads images: Trivy, and the process that reads layers for the others."""
    if cage.network:
        text = _("Trivy and YARA-X have no network, and no access to other processes of the console.")
        yield InstallationCheck("ok", _("Scanners run in their own namespace"), text)
    else:
        yield InstallationCheck(
            "fault",
            _("Scanners are not isolated from the network"),
            _(
                "This system provides no network namespace (%(why)s). Scanners are offline only by their own "
                "settings: an attacker who controls one may reach the network."
            )
            % {"why": cage.why},
            _("Allow unprivileged user namespaces (sysctl user.max_user_namespaces, kernel.apparmor_restrict_…)."),
        )
    if cage.files:
        text = _("Trivy can read only the image and its database, YARA-X only its layer; they can change neither.")
        yield InstallationCheck("ok", _("Scanners cannot read the console's files"), text)
    else:
        yield InstallationCheck(
            "fault",
            _("Scanners could read the console's files"),
            _(
                "This kernel provides no Landlock (%(why)s). Scanners run as the user of the console, who can "
                "read its keys."
            )
            % {"why": cage.files_error},
            _("Use Linux 5.13 or newer with “landlock” among its security modules (/sys/kernel/security/lsm)."),
        )
    if cage.calls:
        text = _(
            "They cannot reach services of this machine that listen on a Unix socket, such as PostgreSQL or Docker."
        )
        yield InstallationCheck("ok", _("Scanners are denied the system calls that they do not need"), text)
    else:
        yield InstallationCheck(
            "advice",
            _("Scanners can make any system call"),
            _(
                "This system provides no system call filter (%(why)s). Scanners can reach services that listen on"
                " a Unix socket, such as PostgreSQL or Docker, as the user of the console."
            )
            % {"why": cage.calls_error},
            _("Use an x86_64 or aarch64 kernel with seccomp (CONFIG_SECCOMP_FILTER), and a container that allows it."),
        )
