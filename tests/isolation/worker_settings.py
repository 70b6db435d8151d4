"""Settings of a worker that is not helped by its reaper: what it does not take up by itself is not taken up."""

from dataclasses import replace

from tests.console.jobs.cluster_settings import *  # noqa: F403

JOB_TIMES = replace(JOB_TIMES, hint_again=3600, tick=3600, lease=20, heartbeat=2)  # noqa: F405
