"""Databases that released versions made, and what keeps them readable.

- ``dumps/`` holds a database of each release, with rows in every table: ``<version>.sqlite.sql.gz`` and
  ``<version>.postgresql.sql.gz``. ``test_upgrade.py`` upgrades each to the newest version.
- ``released_migrations.json`` holds the digest of each released migration. ``test_released_migrations.py`` fails if
  one is changed or removed: a released migration stays as it is, and a new one goes on from there.

``make release-dump`` (``python -m tests.upgrade.make_dump``) adds both for the version of pyproject.toml. It is part of
every release.
"""
