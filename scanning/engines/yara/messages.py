"""Messages that this package shows to people: see console.i18n.message_codes."""

from __future__ import annotations

from console.i18n.message_codes import MessageText, NoteText

# --- engine
RULES_WITH_ERRORS = MessageText("yara.rules-with-errors", "Rules with errors are not applied: {value}.")
CORRECT_RULES = MessageText("yara.correct-rules", "Correct them in {edited}; the next scan applies them.")
RULE_WITH_ERROR = NoteText(
    MessageText("yara.rule-with-error", "1 file of the team's rules has an error and is not applied: {path}"),
    MessageText(
        "yara.rule-with-error.many", "{count} files of the team's rules have errors and are not applied, e.g. {path}"
    ),
)

# --- ruleset
RULES_CHANGED = MessageText(
    "yara.rules-changed",
    "The project's own rules are not those of this version: their SHA-256 is {found}, but {expected} is expected.",
)
FIND_WHO_CHANGED_RULES = MessageText(
    "yara.find-who-changed-rules",
    "Find out who changed them, and install Tallyman again. The team's rules have a folder of their own.",
)
RULES_DAMAGED = MessageText("yara.rules-damaged", "The project's own rules are damaged: {value}.")
INSTALL_AGAIN = MessageText("yara.install-again", "Install Tallyman again: its files were changed.")
NO_RULES = MessageText("yara.no-rules", "There are no rules to scan for malware with.")
INSTALL_MISSING_FILES = MessageText("yara.install-missing-files", "Install Tallyman again: files are missing.")

# --- scan
TOO_LARGE = NoteText(
    MessageText("yara.too-large", "1 file over {value} GiB: {path}"),
    MessageText("yara.too-large.many", "{count} files over {value} GiB, e.g. {path}"),
)
SPARSE_READ_IN_PARTS = NoteText(
    MessageText("yara.sparse-read-in-parts", "1 sparse file over {value} MiB, read in parts: {path}"),
    MessageText("yara.sparse-read-in-parts.many", "{count} sparse files over {value} MiB, read in parts, e.g. {path}"),
)
LAYER_DAMAGED = NoteText(
    MessageText(
        "yara.layer-damaged", "1 file in this layer is damaged, and the rest of the layer was not scanned: {path}"
    ),
    MessageText(
        "yara.layer-damaged.many",
        "{count} files in this layer are damaged, and the rest of the layer was not scanned, e.g. {path}",
    ),
)
GIVEN_UP = NoteText(
    MessageText("yara.given-up", "1 file whose scan was stopped after {timeout} s: {path}"),
    MessageText("yara.given-up.many", "{count} files whose scan was stopped after {timeout} s, e.g. {path}"),
)
FAILED_AT_FILE = NoteText(
    MessageText("yara.failed-at-file", "1 file on which YARA-X failed ({error}): {path}"),
    MessageText("yara.failed-at-file.many", "{count} files on which YARA-X failed ({error}), e.g. {path}"),
)
NESTED_TOO_DEEP = NoteText(
    MessageText("yara.nested-too-deep", "1 file in an archive nested deeper than {depth}: {path}"),
    MessageText("yara.nested-too-deep.many", "{count} files in archives nested deeper than {depth}, e.g. {path}"),
)
TOO_MANY_FINDINGS = NoteText(
    MessageText("yara.too-many-findings", "1 file detected beyond the first {max_findings}, not listed: {path}"),
    MessageText(
        "yara.too-many-findings.many",
        "{count} files detected beyond the first {max_findings}, not listed, e.g. {path}",
    ),
)
