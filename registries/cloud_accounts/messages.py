"""Messages that this package shows to people: see console.i18n.message_codes."""

from __future__ import annotations

from console.i18n.message_codes import MessageText

# --- discovery
KEY_REFUSED = MessageText("cloud-account.key-refused", "Tencent Cloud refused this key, so it is not tried again.")
TYPE_SECRET_KEY_AGAIN = MessageText("cloud-account.type-secret-key-again", "Edit the key and type the SecretKey again.")
LISTING_TOO_SLOW = MessageText(
    "cloud-account.listing-too-slow", "Tencent Cloud took longer than %(n)d seconds to list the registries."
)
TRY_LATER_OR_CHECK_PROXY = MessageText(
    "cloud-account.try-later-or-check-proxy",
    "Try again later. If it keeps happening, check the API endpoint and the proxy.",
)
LISTING_REGISTRIES = MessageText("cloud-account.listing-registries", "Listing registries")

# --- tencent
WAS_REMOVED_HERE = MessageText(
    "cloud-account.was-removed-here", "“%(name)s” was removed here, so it is not added again."
)
LISTED_BY_MANUAL_REGISTRY = MessageText(
    "cloud-account.listed-by-hand",
    "“%(name)s” is already listed by the registry for all of %(host)s, which was added manually.",
)
MANAGED_BY_OTHER_KEY = MessageText("cloud-account.kept-by-other-key", "“%(name)s” is managed by another key.")
KEY_WAS_REMOVED = MessageText(
    "cloud-account.key-was-removed", "The Tencent Cloud key that this registry belonged to was removed."
)
ENTER_A_KEY = MessageText(
    "cloud-account.enter-a-key",
    "Edit the registry and enter a key, add the Tencent Cloud key again, or delete the registry.",
)
HAS_MOVED = MessageText(
    "cloud-account.has-moved", "“%(name)s” has moved from %(old)s to %(new)s; its name in this console does not change."
)
NAMESPACE = MessageText("cloud-account.namespace", "namespace")
INSTANCE = MessageText("cloud-account.instance", "instance")
NO_LONGER_LISTED = MessageText("cloud-account.no-longer-listed", "Tencent Cloud no longer lists this %(what)s.")
DELETE_REGISTRY = MessageText(
    "cloud-account.delete-registry",
    "If it was deleted there, delete the registry here too. Until then, its images and findings stay.",
)
REGION_FAILED = MessageText("cloud-account.region-failed", "CCR, {region}: {why}")
OF_REGISTRY = MessageText("cloud-account.of-registry", "“{name}”: {what}")
