"""Messages that this package shows to people: see console.i18n.message_codes."""

from __future__ import annotations

from console.i18n.message_codes import MessageText

# --- unmatched
PACKAGES_NOT_MATCHED = MessageText(
    "rematch.packages-not-matched", "%(n)s packages of %(subject)s could not be matched: %(reason)s"
)
MORE_SYSTEMS_FAILED = MessageText("rematch.more-systems-failed", "%(n)s more systems failed.")
OTHERS_ARE_MATCHED = MessageText(
    "rematch.others-are-matched",
    "All others are matched. The console tries these again within the hour, and with each new database.",
)
PROGRAMMING_LANGUAGES = MessageText("rematch.programming-languages", "programming languages")
UNKNOWN_SYSTEM = MessageText("rematch.unknown-system", "unknown system")
NOT_MATCHED_WITH = MessageText(
    "rematch.not-matched-with",
    "%(n)s packages could not be matched with the vulnerability database of %(built)s (%(names)s): %(reason)s",
)
TRIED_AGAIN = MessageText(
    "rematch.tried-again",
    "The console tries them again within the hour. Until then, it shows the vulnerabilities of the previous database.",
)
CLOSED = MessageText("rematch.closed", "{reason}.")
