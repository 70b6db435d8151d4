"""What a scan has learnt: the analysis of the image, and what became of each category."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from console.i18n.message_codes import NOTHING, PARTS, SENTENCES, Message, sentences
from scanning.engines.base import EngineError, ImageReport, LayerReport, RiskCategory
from scanning.models import CategoryResult


@dataclass
class CategoryOutcome:
    """What became of one category. Its fields are columns of CategoryResult."""

    outcome: CategoryResult.Outcome = CategoryResult.Outcome.DONE
    reason: Message = NOTHING
    remedy: Message = NOTHING
    engine_version: str = ""
    database_updated_at: datetime | None = None

    def fail(self, reason: Message, remedy: Message) -> None:
        """Note that this category gave no result."""
        self.outcome, self.reason, self.remedy = CategoryResult.Outcome.FAILED, reason, remedy

    def mark_partial(self, reason: Message, remedy: Message) -> None:
        """Note that this category saw a part only."""
        if self.outcome is CategoryResult.Outcome.FAILED:
            return
        self.outcome = CategoryResult.Outcome.PARTIAL
        between = SENTENCES if self.reason.endswith(".") else PARTS
        self.reason = between.join((self.reason, reason))
        self.remedy = sentences(self.remedy, remedy)


@dataclass
class ImageAnalysis:
    """What was seen in an image."""

    report: ImageReport | None = None  # of Trivy; None if it was not used, or failed
    failure: EngineError | None = None  # why Trivy failed
    unmatched: EngineError | None = None  # why Trivy failed at vulnerabilities, if not at the rest
    malware_failure: EngineError | None = None  # why an engine against malware failed
    malware: list[tuple[str, LayerReport]] = field(default_factory=list)  # diff ID, report; for each layer and engine
    bytes_pulled: int = 0
    layers_pulled: int = 0
    layers_known: int = 0
    unscanned_reasons: list[Message] = field(default_factory=list)  # why layers could not be scanned, for a person
    # Whether the registry holds all layers of the manifest, and they are those that its config names.
    proven: bool = False


@dataclass
class ScanResults:
    """All that a scan has learnt, before it is written."""

    outcomes: dict[RiskCategory, CategoryOutcome] = field(default_factory=dict)
    analysis: ImageAnalysis = field(default_factory=ImageAnalysis)
    diff_ids: list[str] = field(
        default_factory=list
    )  # of all layers, if the config claims none and pulls have shown them
    changed_variants: set[int] = field(default_factory=set)  # packages whose vulnerabilities this scan has changed
