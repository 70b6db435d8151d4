"""What the steps of one scan hand on to each other."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass, field

from console.jobs.job_run import JobRun
from inventory.models import Tag
from registries.models import Registry
from scanning.engines.base import ImageReport, RiskCategory
from scanning.execution.malware_scans import MalwareScans
from scanning.execution.preemption import PreemptionCheck
from scanning.execution.progress import ProgressReporter
from scanning.execution.results import ScanResults
from scanning.execution.scanned_layers import ImageSource, ScannedLayers
from scanning.execution.trivy_analysis import TrivyAnalysis
from scanning.layers import LayerLease
from scanning.models import Scan


@dataclass(eq=False, repr=False)
class ScanContext:
    """One attempt at one scan. What has no value at first is set by the step that is named beside it.

    A step that reads what no step before it has set raises AttributeError: the order of the steps is wrong then.
    """

    run: JobRun[Scan]
    check: PreemptionCheck  # raises where the scan must stop; in the thread of the scan and those that it starts
    results: ScanResults  # what comes of the scan, from the first step to the last

    # What the scan has taken, in this order: connection, lease, announcement to Trivy, reading thread, claims.
    # release_resources gives it back in the opposite order, or the pipeline does, whatever happens.
    resources: ExitStack = field(default_factory=ExitStack)
    claims: ExitStack = field(default_factory=ExitStack)  # on layers; collect_malware gives them back

    ready: frozenset[RiskCategory] = field(init=False)  # check_engines
    registry: Registry = field(init=False)  # find_tag
    tag: Tag = field(init=False)  # find_tag
    source: ImageSource = field(init=False)  # fetch_manifest
    layers: ScannedLayers = field(init=False)  # fetch_manifest
    lease: LayerLease = field(init=False)  # lease_layer_store
    progress: ProgressReporter = field(init=False)  # lease_layer_store
    trivy: TrivyAnalysis = field(init=False)  # start_engines
    malware: MalwareScans = field(init=False)  # start_engines
    report: ImageReport | None = field(init=False)  # analyze_image
    is_released: bool = False  # release_resources: what fails from now on is no fault of the registry
