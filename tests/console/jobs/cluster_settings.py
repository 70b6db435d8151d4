"""Settings of the real clusters that the tests start: short times, and a kind of job that tests can steer."""

import os

from console.jobs.configuration import JobTimes
from tests.settings import *  # noqa: F403

JOB_TIMES = JobTimes(
    lease=float(os.environ.get("TALLYMAN_TEST_LEASE", "3")),
    poll=0.2,
    heartbeat=0.5,
    hint_again=2,
    retry=0.5,
    tick=0.5,
    canary=1,
    silence=15,
    stop=20,
    settle=20,
)
SCAN_STALL_SECONDS = 1.0
JOB_KINDS["database"]["task"] = "tests.console.jobs.tasks.steered"  # noqa: F405
JOB_KINDS["database"]["cluster"] = "scan"  # noqa: F405
del JOB_KINDS["database"]["places"]  # noqa: F405  # any process of that cluster takes them
JOB_KINDS["rematch"]["task"] = "tests.scanning.steered.rematch"  # noqa: F405

if os.environ.get("TALLYMAN_TEST_BROKEN_CLUSTER") and os.environ.get("Q_CLUSTER_NAME"):
    raise SystemExit("this cluster does not start")
