"""What pip and npm leave in an image: metadata as they write it, with a little code beside it."""

from __future__ import annotations

import json
from collections.abc import Mapping

from demo.build import ImageFile, text


def python_packages(versions: Mapping[str, str], *, site: str) -> tuple[ImageFile, ...]:
    """Return the installed packages of ``versions`` (name → version) below the folder ``site``."""
    files = []
    for name, version in versions.items():
        module = name.lower().replace("-", "_")
        folder = f"{site}/{name.replace('-', '_')}-{version}.dist-info"
        files += [
            text(
                f"{folder}/METADATA",
                f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\nSummary: {name} of the sample images\n"
                "License: BSD-3-Clause\nRequires-Python: >=3.6\n",
            ),
            text(f"{folder}/INSTALLER", "pip\n"),
            text(f"{folder}/WHEEL", "Wheel-Version: 1.0\nGenerator: bdist_wheel\nTag: py3-none-any\n"),
            text(f"{folder}/RECORD", f"{module}/__init__.py,,\n{folder.rsplit('/', 1)[1]}/METADATA,,\n"),
            text(f"{site}/{module}/__init__.py", f'__version__ = "{version}"\n'),
        ]
    return tuple(files)


def npm_packages(versions: Mapping[str, str], *, folder: str, name: str) -> tuple[ImageFile, ...]:
    """Return the application ``name`` in ``folder`` with the packages of ``versions`` (name → version) installed."""
    files = [
        text(
            f"{folder}/package.json",
            _json({"name": name, "version": "2.4.1", "private": True, "dependencies": dict(versions)}),
        ),
        text(
            f"{folder}/package-lock.json",
            _json(
                {
                    "name": name,
                    "version": "2.4.1",
                    "lockfileVersion": 3,
                    "packages": {
                        "": {"name": name, "version": "2.4.1", "dependencies": dict(versions)},
                        **{f"node_modules/{key}": {"version": version} for key, version in versions.items()},
                    },
                }
            ),
        ),
    ]
    for package, version in versions.items():
        files += [
            text(
                f"{folder}/node_modules/{package}/package.json",
                _json({"name": package, "version": version, "license": "MIT", "main": "index.js"}),
            ),
            text(f"{folder}/node_modules/{package}/index.js", f'exports.VERSION = "{version}";\n'),
        ]
    return tuple(files)


def _json(content: object) -> str:
    return json.dumps(content, indent=2) + "\n"
