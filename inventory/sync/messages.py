"""Messages that this package shows to people: see console.i18n.message_codes."""

from __future__ import annotations

from console.i18n.message_codes import MessageText, PluralText

# --- lister
LIST_OF_REPOSITORIES = MessageText("sync.list-of-repositories", "The list of repositories")
LISTED_NAME_MISSING = MessageText("sync.listed-name-missing", "The registry does not hold what the fixed list names.")
CORRECT_FIXED_LIST = MessageText(
    "sync.correct-fixed-list", "Correct the name in the fixed list, or take it out of the list."
)
NAME_UNSTORABLE = MessageText(
    "sync.name-unstorable", "The name is longer than %(limit)d characters or contains control characters."
)
RENAME_IT = MessageText("sync.rename-it", "Rename it in the registry.")

# --- problems
COULD_NOT_BE_READ = PluralText(
    "sync.could-not-be-read",
    "%(count)d repository or tag could not be read.",
    "%(count)d repositories or tags could not be read.",
)
AND_OTHERS = MessageText("sync.and-others", "And others.")
LAST_DATA_STAYS = MessageText(
    "sync.known-is-kept", "The data of the last successful sync stays; the next sync tries again."
)

# --- resolve
INDEX_LEADS_NOWHERE = MessageText(
    "sync.index-leads-nowhere", "The image is an index that refers only to other indexes, not to an image."
)
PUSH_WITH_CURRENT_TOOL = MessageText("sync.push-with-current-tool", "Push the image again with a current tool.")
INDEX_WITHOUT_IMAGES = MessageText(
    "sync.index-without-images",
    "The registry contains none of the images of this index, not even the one for %(platform)s.",
)
PUSH_WITH_ALL_PLATFORMS = MessageText("sync.push-with-all-platforms", "Push the image again with all of its platforms.")
TOO_MANY_LAYERS = MessageText(
    "sync.too-many-layers", "The image has %(count)d layers; no container runtime can start it."
)

# --- run
CONNECTING = MessageText("sync.connecting", "Connecting")
TOOK_TOO_LONG = MessageText("sync.took-too-long", "The sync did not finish within %(n)d hours.")
ENTER_FIXED_LIST = MessageText(
    "sync.enter-fixed-list",
    "What was read is saved. Enter the repositories that matter as a fixed list, and sync again.",
)
OTHERS_GO_FIRST = MessageText(
    "sync.others-go-first", "This sync takes long, so syncs of other registries go first. It continues in a moment."
)
CONTINUES = MessageText("sync.goes-on", "The registry is large; the sync continues in a moment.")
YIELDING = MessageText("sync.making-way", "Yielding to other registries")
ROWS_CHANGED_REPEATEDLY = MessageText("sync.rows-kept-changing", "Other syncs kept changing the same rows.")
START_AGAIN = MessageText("sync.start-again", "Start this sync again when they have finished.")
SUDDENLY_NO_TAGS = MessageText(
    "sync.suddenly-no-tags", "The registry suddenly lists none of its tags, although it still contains them."
)
CHECK_REGISTRY = MessageText("sync.look-at-registry", "Check the registry's web page and logs.")
TAGS_MISSING = PluralText(
    "sync.tags-missing",
    "The registry does not list %(count)d tag that it listed before. It is kept, and marked as missing.",
    "The registry does not list %(count)d tags that it listed before. They are kept, and marked as missing.",
)
CONFIRM_MISSING = MessageText(
    "sync.confirm-missing",
    "If they were deleted, you need to do nothing: the next sync after an hour removes them if they are still missing."
    " To remove them now, confirm it on the registry's page. If they were not deleted, check the registry's storage and"
    " the rights of the account.",
)
ROWS_SAY_WHY = MessageText("sync.rows-say-why", "The rows of these tags say why.")
INTERRUPTED = MessageText("sync.broken-off", "Interrupted")
INTERRUPTED_AFTER = MessageText("sync.broke-off", "The sync was interrupted after %(count)d repositories: %(reason)s")
READ_IS_SAVED = MessageText(
    "sync.read-is-kept", "What was read is saved. Nothing was removed from the part that was not read."
)
CLEANING_UP = MessageText("sync.tidying-up", "Cleaning up")
READING_TAGS = MessageText("sync.reading-tags", "Reading tags")

# --- webhook_events
PUSH_TOOK_TOO_LONG = MessageText(
    "sync.push-took-too-long", "The registry took longer than %(n)d seconds to return what it had reported."
)
NEXT_SYNC_READS_ALL = MessageText(
    "sync.next-sync-looks", "Nothing to do: the next sync reads everything. If that is too late, sync the registry now."
)
SYNC_RUNNING = MessageText(
    "sync.sync-at-work", "A sync of this registry is running. The next one checks for what was pushed since it began."
)
PUSHED_TAG_MISSING = MessageText(
    "sync.pushed-tag-missing", "The registry does not contain %(name)s:%(tag)s, which it had reported as pushed."
)
SYNC_UNLESS_DELETED = MessageText(
    "sync.sync-unless-deleted", "Nothing to do if it has been deleted since; otherwise sync the registry."
)
SYNC_CHANGED_ROWS = MessageText("sync.sync-changed-rows", "A sync kept changing the same rows.")
SYNC_READS_PUSH = MessageText("sync.sync-sees-push", "Nothing to do: that sync also reads what was pushed.")
UNREAD = MessageText("sync.unread", "{names}: {reason}")
