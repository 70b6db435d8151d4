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
INSTALLED_APPS += ["tests.console.jobs.apps.SteeredJobsConfig"]  # noqa: F405
