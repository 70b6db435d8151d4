"""Programs in the sandbox for layers of two sizes, so that what is soon done waits for nothing that takes long."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from scanning.engines.base import StopCheck
from scanning.engines.sandbox.client import SandboxClient, YaraLayerResult
from scanning.engines.sandbox.responses import LayerFile
from scanning.engines.yara.ruleset import RuleSet

LARGE_LAYER_BYTES = 64 * 1024**2  # uncompressed


class SandboxPool:
    """As Caged, for several threads: one program reads small layers, another the large ones; each one at a time."""

    def __init__(self) -> None:
        self._small, self._large = SandboxClient(), SandboxClient()

    def look(self, path: Path, *, rules: RuleSet, max_file_bytes: int, check: StopCheck) -> YaraLayerResult:
        """See :meth:`SandboxClient.look`."""
        return self._for(path).look(path, rules=rules, max_file_bytes=max_file_bytes, check=check)

    def walk(self, path: Path, *, check: StopCheck) -> Iterator[LayerFile | str]:
        """See :meth:`SandboxClient.walk`."""
        return self._for(path).walk(path, check=check)

    def _for(self, path: Path) -> SandboxClient:
        return self._large if path.stat().st_size > LARGE_LAYER_BYTES else self._small
