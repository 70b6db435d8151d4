"""Messages that this package shows to people: see console.i18n.message_codes."""

from __future__ import annotations

from console.i18n.message_codes import MessageText

# --- clients
CA_BUNDLE_UNREADABLE = MessageText(
    "registries.ca-bundle-unreadable", "The file named in TALLYMAN_CA_BUNDLE cannot be read."
)
CORRECT_CA_BUNDLE = MessageText(
    "registries.correct-ca-bundle", "Correct the setting or the permissions of the file, then restart the console."
)
TYPE_NOT_LISTABLE = MessageText(
    "registries.type-not-listable", "This version cannot list registries of the type %(type)s."
)
ADD_AS_OCI = MessageText(
    "registries.add-as-oci", "Add it as type OCI if its catalog is open, or with a fixed list of repositories."
)

# --- credentials
SECRET_UNREADABLE = MessageText(
    "registries.secret-unreadable", "The stored password cannot be read with the keys in the data folder."
)
RESTORE_KEYS = MessageText(
    "registries.restore-keys",
    "Restore keys/credential_keys from the backup, or edit the registry and type the password again.",
)

# --- login_guard
CREDENTIALS_REFUSED_BEFORE = MessageText(
    "registries.credential_encryption-known-refused",
    "The registry refused these credentials, so they are not tried again: that could lock the account.",
)
TYPE_PASSWORD_AGAIN = MessageText(
    "registries.type-password-again", "Edit the registry and type the password again, or test the connection."
)
CREDENTIALS_CHANGED = MessageText(
    "registries.credential_encryption-changed", "The credentials of the registry were changed while they were in use."
)
NEW_CREDENTIALS_USED = MessageText(
    "registries.goes-on-with-new", "Nothing to do: the new credentials are used from now on."
)

# --- outbound
SERVER_TOO_SLOW = MessageText("registries.server-too-slow", "The server did not respond in time.")
CHECK_REACHABLE = MessageText("registries.check-reachable", "Check that this machine can reach it.")
