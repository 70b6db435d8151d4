"""What is told to people by this package: see console.i18n.message_codes."""

from __future__ import annotations

from console.i18n.message_codes import MessageText

# --- discovery
KEY_REFUSED = MessageText("cloud-account.key-refused", "Tencent Cloud refused this key, so it is not tried again.")
TYPE_SECRET_KEY_AGAIN = MessageText("cloud-account.type-secret-key-again", "Edit it and type the SecretKey again.")
LISTING_TOO_SLOW = MessageText(
    "cloud-account.listing-too-slow", "Tencent Cloud took longer than %(n)d seconds to list the registries."
)
TRY_LATER_OR_CHECK_PROXY = MessageText(
    "cloud-account.try-later-or-check-proxy",
    "Try again later. If it happens again, check the API endpoint and the proxy.",
)
LISTING_REGISTRIES = MessageText("cloud-account.listing-registries", "Listing registries")

# --- tencent
WAS_REMOVED_HERE = MessageText(
    "cloud-account.was-removed-here", "“%(name)s” was removed here, so it is not added again."
)
LISTED_BY_HAND = MessageText(
    "cloud-account.listed-by-hand", "“%(name)s” is listed by the registry of all of %(host)s that was added by hand."
)
KEPT_BY_OTHER_KEY = MessageText("cloud-account.kept-by-other-key", "“%(name)s” is kept in step by another key.")
KEY_WAS_REMOVED = MessageText(
    "cloud-account.key-was-removed", "The Tencent Cloud key that this registry belonged to was removed."
)
ENTER_A_KEY = MessageText(
    "cloud-account.enter-a-key", "Edit the registry and enter a key, or add the key again; or delete the registry."
)
HAS_MOVED = MessageText("cloud-account.has-moved", "“%(name)s” has moved from %(old)s to %(new)s; its name here stays.")
NAMESPACE = MessageText("cloud-account.namespace", "namespace")
INSTANCE = MessageText("cloud-account.instance", "instance")
NO_LONGER_LISTED = MessageText("cloud-account.no-longer-listed", "The %(what)s is no longer listed at Tencent Cloud.")
DELETE_REGISTRY = MessageText(
    "cloud-account.delete-registry",
    "If it was deleted there, delete the registry here. Its images and findings stay until then.",
)
REGION_FAILED = MessageText("cloud-account.region-failed", "CCR, {region}: {why}")
OF_REGISTRY = MessageText("cloud-account.of-registry", "“{name}”: {what}")
