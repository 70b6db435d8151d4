"""What the parts of this package share: Trivy as it is for an image, what is asked of it, and how that can fail."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from scanning.engines.base import EngineError, ImageInput, ImageReport, RiskCategory
from scanning.engines.trivy import messages
from scanning.engines.trivy.cache import CachedLayer
from scanning.engines.trivy.command import Runner
from scanning.engines.trivy.match import Matcher
from scanning.engines.trivy.server import MatchServer
from scanning.engines.trivy.vulndb_folder import VulndbFacts


class LayersMissing(EngineError):
    """Layers that were believed to be known are not. Pull them and analyse again."""

    def __init__(self, diff_ids: Collection[str]) -> None:
        super().__init__(messages.LAYER_FACTS_LOST(), messages.SCAN_AGAIN_TO_PULL(), retry=True)
        self.diff_ids = frozenset(diff_ids)


class CacheDamaged(EngineError):
    """Trivy ended as it does when what it was told of layers is damaged."""


@dataclass(frozen=True)
class TrivySetup:
    """Trivy as it is for some images: all that they must have in common to be looked at together."""

    executable: Path
    run: Runner = field(compare=False)
    server: MatchServer | None = field(compare=False)  # None: it is asked without one
    key: bytes = field(repr=False)  # of the hashes of secrets
    categories: frozenset[RiskCategory]
    database: VulndbFacts | None
    home: Path  # with what is made once and used by each run
    java_index: Path
    empty_database: Path  # that lists no vulnerabilities
    matched_with: str
    version: str

    def matcher(self) -> Matcher:
        """Return what matches packages with this database; only where there is one."""
        assert self.database is not None  # noqa: S101 (packages are matched where there is one)
        return Matcher(
            self.run,
            executable=self.executable,
            version=self.version,
            database=self.database,
            java_index=self.java_index,
            server=self.server,
            home=self.home,
        )


@dataclass(frozen=True)
class AnalysisRequest:
    """What is asked of one image. ``notes`` are of its layers that have no path; ``scratch`` is a folder to work in."""

    image: ImageInput
    notes: Mapping[str, CachedLayer]
    scratch: Path
    timeout: float


@dataclass(frozen=True)
class AnalysisResult:
    """What Trivy tells of one image, and what is learnt of its layers that have a path."""

    report: ImageReport
    new_layers: Mapping[str, CachedLayer]
