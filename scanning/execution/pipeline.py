"""The story of one scan: its steps in their order, and what leads from one to another.

Start here and read the steps from top to bottom, each in the module of its name. What they hand on to each other is in
scanning/execution/context.py.
"""

from __future__ import annotations

from collections.abc import Callable

from console.jobs.errors import JobFailure
from console.jobs.job_run import JobRun
from registries.oci.errors import RegistryError
from scanning.engines.base import RiskCategory
from scanning.execution import messages
from scanning.execution.context import ScanContext
from scanning.execution.failures import handle_failure
from scanning.execution.jumps import Jump, NoEngineReady, PullAgain
from scanning.execution.preemption import PreemptionCheck
from scanning.execution.results import CategoryOutcome, ScanResults
from scanning.execution.steps.analyze_image import analyze_image
from scanning.execution.steps.check_engines import check_engines
from scanning.execution.steps.collect_malware import collect_malware
from scanning.execution.steps.fetch_manifest import fetch_manifest
from scanning.execution.steps.find_tag import find_tag
from scanning.execution.steps.gather_findings import gather_findings
from scanning.execution.steps.judge_coverage import judge_coverage
from scanning.execution.steps.lease_layer_store import lease_layer_store
from scanning.execution.steps.prove_layers import prove_layers
from scanning.execution.steps.pull_layers import pull_layers
from scanning.execution.steps.recount_images import recount_images
from scanning.execution.steps.release_resources import release_resources
from scanning.execution.steps.require_all_layers import require_all_layers
from scanning.execution.steps.start_engines import start_engines
from scanning.execution.steps.store_results import store_results
from scanning.execution.steps.take_pull_unit import take_pull_unit
from scanning.layers import LayerError
from scanning.models import Scan

Step = Callable[[ScanContext], None]

STEPS: tuple[Step, ...] = (
    check_engines,  # which categories can be scanned now
    find_tag,  # by which tag, of which registry
    take_pull_unit,  # the registry's hourly limit
    fetch_manifest,  # which layers
    lease_layer_store,  # a place on disk for them
    start_engines,  # a session of Trivy, and a thread for the malware engines
    pull_layers,  # what no engine knows; the malware engines read each layer as it arrives
    prove_layers,  # the registry shows that it holds the others
    analyze_image,  # Trivy: packages, vulnerabilities, sensitive data
    collect_malware,  # what the malware engines have seen
    gather_findings,  # of all engines
    require_all_layers,  # of an image that is shared
    release_resources,  # others may have layers, threads and connection
    judge_coverage,  # what could not be seen is no zero
    store_results,  # findings, counts and final state, in one transaction
    recount_images,  # others that share a package
)

# Where the scan goes on, instead of with the next step, when a step raises this.
JUMPS: dict[type[Jump], Step] = {
    NoEngineReady: release_resources,
    PullAgain: pull_layers,  # a few times at most: see TrivyAnalysis
}


def scan_image(run: JobRun[Scan]) -> None:
    """Scan the image of ``run`` for its categories and record the result and the final state together.

    A category whose engine is not ready ends the scan as failed, with the results of the other categories kept.
    Raises Interrupted if the scan is cancelled or goes on later, and JobFailure, RegistryError, EngineError or
    LayerError if nothing could be found out. Whatever happens, nothing that the scan has taken is left behind.
    """
    minutes = max(1, run.job.timeout // 60)
    run.set_deadline(run.job.timeout, reason=messages.TIMED_OUT(minutes=minutes), remedy=messages.RAISE_TIMEOUT())
    outcomes = {RiskCategory(category): CategoryOutcome() for category in run.job.categories}
    context = ScanContext(run, PreemptionCheck(run), ScanResults(outcomes))
    try:
        with context.resources:
            _take_steps(context)
    except (RegistryError, LayerError, JobFailure) as error:
        if not context.is_released:
            handle_failure(run, error)
        raise


def _take_steps(context: ScanContext) -> None:
    """Take the steps, and ask before each whether the scan must stop."""
    position = 0
    while position < len(STEPS):
        if not context.run.ended:
            context.run.check()
        try:
            STEPS[position](context)
        except Jump as jump:
            position = STEPS.index(JUMPS[type(jump)])
        else:
            position += 1
