"""Messages that this package shows to people: see console.i18n.message_codes."""

from __future__ import annotations

from console.i18n.message_codes import MessageText

# --- fetch_lock
BEING_COPIED = MessageText(
    "fleet.being-copied", "The vulnerability database and the rules are being copied to this machine."
)
WAIT_A_MOMENT = MessageText("fleet.wait-a-moment", "Wait a moment.")

# --- settings
DIFFERENCE = MessageText("fleet.difference", "%(what)s %(here)s (there: %(there)s)")
MISSING = MessageText("fleet.missing", "missing")
DIFFERS_FROM_PRIMARY = MessageText(
    "fleet.differs-from-primary",
    "Scans on this machine would find something else than on %(host)s, the primary machine: %(differs)s.",
)
INSTALL_THE_SAME = MessageText(
    "fleet.install-the-same",
    "Install the same version with the same settings on both. If the settings of this machine are the right "
    "ones, run on this machine: manage.py make_primary.",
)
KEYS_DIFFER = MessageText(
    "fleet.keys-differ", "The keys of this machine are not the same as on %(host)s, the primary machine: %(names)s."
)
COPY_KEYS = MessageText(
    "fleet.copy-keys",
    "Stop the worker on this machine, copy the folder “keys” from the data folder of %(host)s into "
    "%(folder)s, and start the worker again.",
)

# --- versions
FOLDER_NOT_WRITABLE = MessageText(
    "fleet.folder-not-writable", "The data folder of this machine is not writable: %(reason)s."
)
CHECK_FOLDER = MessageText("fleet.check-folder", "Check that %(folder)s has space and is writable.")
COPY_TOO_SLOW = MessageText(
    "fleet.copy-too-slow", "Copying the vulnerability database to this machine took more than %(n)s minutes."
)
CHECK_CONNECTION = MessageText("fleet.check-connection", "Check the connection between this machine and PostgreSQL.")
