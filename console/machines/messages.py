"""Messages about content that machines copy from each other: see console.i18n.message_codes."""

from __future__ import annotations

from console.i18n.message_codes import MessageText

TOO_LARGE = MessageText("content.too-large", "it is larger than {size} MiB")
PART_MISSING = MessageText("content.part-missing", "a part of it is missing")
LARGER_THAN_IT_SHOULD_BE = MessageText("content.larger-than-it-should-be", "it is larger than expected")
WRONG_DIGEST = MessageText("content.wrong-digest", "its SHA-256 does not match")
