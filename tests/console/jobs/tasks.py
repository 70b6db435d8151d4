"""A job that does as its ``source`` says, in a real worker process."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

from django.conf import settings

from console.jobs.job_run import JobRun
from console.jobs.runner import run_queued_jobs
from console.sandbox.run import run as run_process
from scanning.models import VulndbUpdate


def steered(job_id: int) -> None:
    run_queued_jobs(VulndbUpdate, job_id, _steer)


def _steer(run: JobRun[VulndbUpdate]) -> None:
    order = run.job.source
    run.progress(order)
    if order == "die" or (order == "die once" and run.attempt == 1):
        os.kill(os.getpid(), signal.SIGKILL)
    elif order == "wait":
        for _ in range(10_000):
            run.check()
            time.sleep(0.02)
    elif order == "gate":
        while not Path(settings.DATA_DIR, "gate").exists():
            run.check()
            time.sleep(0.02)
    elif order == "engine":  # a tree with a grandchild in a session of its own
        script = 'echo $$ > "$MARK"; setsid sleep 86399 & sleep 86399'
        run_process(
            ["/bin/sh", "-c", script],
            check=run.check,
            timeout=600,
            env={"MARK": str(run.scratch / "pid"), "PATH": "/usr/bin:/bin"},
            cwd=run.scratch,
            stdout_limit=1000,
            memory_bytes=None,
            file_bytes=None,
        )
