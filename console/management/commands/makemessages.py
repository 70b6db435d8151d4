"""``manage.py makemessages``: gather the texts for translation in a form whose changes can be read."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.commands import makemessages

CREATION_DATE = re.compile(r'^"POT-Creation-Date:.*\n', re.MULTILINE)


# Of console.i18n.message_codes: the first argument is a code.
KEYWORDS = ("--keyword=MessageText:2", "--keyword=JoinText:2", "--keyword=PluralText:2,3")


class Command(makemessages.Command):
    """Django's command with our choices: all languages, files without lines, no guesses, no dates."""

    xgettext_options = [*makemessages.Command.xgettext_options, *KEYWORDS]
    msgmerge_options = [*makemessages.Command.msgmerge_options, "--no-fuzzy-matching"]

    def handle(self, *args: Any, **options: Any) -> None:
        """Write ``locale/*/LC_MESSAGES/django.po``. Needs GNU gettext."""
        ours = [path.name for path in Path(settings.LOCALE_PATHS[0]).iterdir() if path.is_dir()]
        options |= {"locale": options["locale"] or ours, "add_location": "file", "no_wrap": True, "no_obsolete": True}
        options["ignore_patterns"] = [
            *options["ignore_patterns"],
            ".venv",
            "build",
            "data",
            "node_modules",
            "staticfiles",
            "tests",
        ]
        super().handle(*args, **options)

    def write_po_file(self, potfile: str, locale: str) -> None:
        """Write one language, without the date on which the texts were gathered: it changes when nothing else does."""
        super().write_po_file(potfile, locale)
        written = Path(potfile).parent / locale / "LC_MESSAGES" / f"{self.domain}.po"
        written.write_text(CREATION_DATE.sub("", written.read_text("utf-8")), "utf-8")
