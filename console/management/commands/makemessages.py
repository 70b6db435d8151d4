"""``manage.py makemessages``: gather the texts for translation in a form whose changes can be read."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.commands import makemessages

from console.i18n import extraction

CREATION_DATE = re.compile(r'^"POT-Creation-Date:.*\n', re.MULTILINE)


class BuildFile(makemessages.BuildFile):
    """A source file; of one that cannot mark its texts the sentences are given to gettext."""

    @property
    def is_templatized(self) -> bool:
        """Whether gettext reads something made of the file in place of the file."""
        return not self.path.endswith(".py") or extraction.belongs(Path(self.path))

    def preprocess(self) -> None:
        """Write what gettext reads."""
        path = Path(self.path)
        if not extraction.belongs(path):
            super().preprocess()
            return
        found = extraction.sentences(path.read_text("utf-8"))
        Path(self.work_path).write_text("".join(f"_({text!r})\n" for text in found), "utf-8")


class Command(makemessages.Command):
    """Django's command with our choices: all languages, files without lines, no guesses, no dates."""

    build_file_class = BuildFile
    msgmerge_options = [*makemessages.Command.msgmerge_options, "--no-fuzzy-matching"]

    def handle(self, *args: Any, **options: Any) -> None:
        """Write ``locale/*/LC_MESSAGES/django.po``. Needs GNU gettext."""
        ours = [path.name for path in Path(settings.LOCALE_PATHS[0]).iterdir() if path.is_dir()]
        options |= {"locale": options["locale"] or ours, "add_location": "file", "no_wrap": True, "no_obsolete": True}
        options["ignore_patterns"] = [*options["ignore_patterns"], ".venv", "build", "data", "staticfiles", "tests"]
        super().handle(*args, **options)

    def write_po_file(self, potfile: str, locale: str) -> None:
        """Write one language, without the date on which the texts were gathered: it changes when nothing else does."""
        super().write_po_file(potfile, locale)
        written = Path(potfile).parent / locale / "LC_MESSAGES" / f"{self.domain}.po"
        written.write_text(CREATION_DATE.sub("", written.read_text("utf-8")), "utf-8")
