"""Static files as browsers get them: compressed, and under names that change with their content."""

from __future__ import annotations

from whitenoise.storage import CompressedManifestStaticFilesStorage

IMPORT = (r'(?P<matched>\b(?P<keyword>from|import) "(?P<url>\./[\w-]+\.js)")', '%(keyword)s "%(url)s"')


class Storage(CompressedManifestStaticFilesStorage):  # type: ignore[misc]  # whitenoise has no types
    """Names in the imports of our scripts (ES modules) change, too.

    Django's ``support_js_module_import_aggregation`` does the same for all scripts, and fails on those of django-htmx.
    """

    patterns = (*CompressedManifestStaticFilesStorage.patterns, ("js/*.js", (IMPORT,)))
    max_post_process_passes = 10  # a chain of as many imports
