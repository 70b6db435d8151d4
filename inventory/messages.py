"""Messages that this package shows to people: see console.i18n.message_codes."""

from __future__ import annotations

from console.i18n.message_codes import MessageText

# --- removal
WAITS_FOR_SYNC = MessageText("inventory.waits-for-sync", "Waiting for the sync of this registry to stop.")
REMOVING_IMAGES = MessageText("inventory.removing-images", "Removing images")
CLEANING_UP = MessageText("inventory.tidying-up", "Cleaning up")
