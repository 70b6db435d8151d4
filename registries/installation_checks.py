"""What of the registries is not safe yet: for the page "Security"."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator

from django.conf import settings
from django.utils.translation import gettext as _

from console.server.installation_checks import InstallationCheck
from registries.credential_columns import can_decrypt, stored_tokens
from registries.credential_encryption import cipher
from registries.models import Registry

WIDE_NETWORK_BITS = 16  # a network of more than 2^WIDE addresses is no address of a registry


def checks() -> Iterator[InstallationCheck]:
    """How registries are reached, and whether their stored credentials can be read."""
    rows = Registry.objects.present()
    unverified = list(rows.filter(verify_tls=False).order_by("name").values_list("name", flat=True)[:10])
    if unverified:
        yield InstallationCheck(
            "fault",
            _("Certificates of registries are not verified"),
            _("Anyone on the network path can read the credentials of: %(names)s.") % {"names": ", ".join(unverified)},
            _("Paste the certificate of your own authority into the form, and switch the verification on again."),
        )
    plain = list(rows.filter(address__startswith="http://").order_by("name").values_list("name", flat=True)[:10])
    if plain:
        yield InstallationCheck(
            "fault",
            _("Registries are reached without TLS"),
            _("Credentials and images can be read and changed on the way: %(names)s.") % {"names": ", ".join(plain)},
            _("Give the registry a certificate and change its address to https."),
        )
    if not unverified and not plain:
        yield InstallationCheck("ok", _("All registries are reached by TLS, with verified certificates"))
    wide = [text for text in settings.ALLOWED_NETWORKS if _is_wide(text)]
    if wide:
        yield InstallationCheck(
            "advice",
            _("Large private networks are allowed for registries"),
            _("TALLYMAN_ALLOWED_NETWORKS names %(networks)s.") % {"networks": ", ".join(wide)},
            _("Name only the addresses of the registries, such as 127.0.0.5/32."),
        )
    key = cipher()
    lost = [str(row) for _model, _column, row, token in stored_tokens() if not can_decrypt(key, token)]
    if lost:
        yield InstallationCheck(
            "fault",
            _("Stored credentials cannot be read"),
            _("No key can decrypt those of: %(names)s.") % {"names": ", ".join(lost[:10])},
            _("Restore keys/credential_keys from the backup, or type these passwords again."),
        )
    else:
        yield InstallationCheck("ok", _("All stored credentials are encrypted, and can be read with the keys"))


def _is_wide(text: str) -> bool:
    try:
        network = ipaddress.ip_network(text.strip(), strict=False)
    except ValueError:
        return True
    return network.max_prefixlen - network.prefixlen > WIDE_NETWORK_BITS
