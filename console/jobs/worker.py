"""``manage.py worker``: keeps the clusters of workers running, watches that they live, and takes all down with it."""

from __future__ import annotations

import contextlib
import logging
import math
import os
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path
from types import FrameType

from django.conf import settings
from django.db import connection, connections
from django.db.models.functions import Now

from console.jobs import broker, heartbeat
from console.jobs.configuration import JobTimes
from console.jobs.errors import is_database_error
from console.jobs.models import HealthProbe, Job, ScanHealthProbe, State
from console.jobs.reaper import note_database_failure, reap
from console.jobs.ticks import run_ticks
from console.jobs.worker_checks import find_problem
from console.processes.control import signal_group
from console.processes.file_lock import FileLock, lock, try_lock
from console.processes.forked_process import ForkedProcess

log = logging.getLogger(__name__)

PROBE_MODELS: dict[str, type[Job]] = {"quick": HealthProbe, "scan": ScanHealthProbe}
MAX_FAILED_STARTS = 3  # starts of one cluster in a row that showed no life
WATCH_INTERVAL_SECONDS = 0.2
REAPER_PAUSE_SECONDS = 2.0  # between two starts of a reaper that ends at once
PROBLEM_EXIT_CODE = 3  # of the reaper: this machine must not work any job


class WatchedCluster:
    """One cluster as a process group of its own, and when it last showed life."""

    def __init__(self, name: str, folder: Path, life: FileLock) -> None:
        self.name = name
        self.failures = 0
        self._folder = folder
        self._life = life
        self._liveness_file = heartbeat.liveness_file(folder, name)
        self._touched = 0
        self.process = self._start()
        self.alive_at = time.monotonic()
        self.probed_at = -math.inf  # the first one goes out at once, so that the page knows of the worker

    def _start(self) -> ForkedProcess:
        return ForkedProcess(self._run, name=f"tallyman-{self.name}")

    def _run(self) -> None:
        self._life.release()  # the worker's own
        heartbeat.join_cluster(self._folder, self.name)
        broker.run_cluster(self.name)

    def restart(self) -> None:
        """End whatever is left of the cluster, jobs in it too, and start it again."""
        self.kill()
        self.failures += 1
        self.process = self._start()
        self.alive_at = self.probed_at = time.monotonic()

    def kill(self) -> None:
        """Kill the whole group. Engines below it end with their workers."""
        signal_group(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def silence(self) -> float:
        """Return for how many seconds the cluster has shown no life, by this process's own clock."""
        try:
            touched = self._liveness_file.stat().st_mtime_ns
        except FileNotFoundError:
            touched = 0
        if touched != self._touched:
            self._touched = touched
            self.alive_at = time.monotonic()
            self.failures = 0
        return time.monotonic() - self.alive_at


class Worker:
    """The clusters ``quick`` and ``scan`` of this machine. ``run()`` returns the exit code of the command."""

    def __init__(self, times: JobTimes) -> None:
        self._times = times
        self._signals = 0
        self._reaper_started_at = 0.0

    def run(self) -> int:
        """Work until SIGTERM or SIGINT (0), or until a cluster cannot be brought to life or the database
        or the keys are not those of this machine (1)."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_signal)
        connections.close_all()  # no process that is forked may inherit one
        folder, life = _make_run_folder(Path(settings.DATA_DIR) / "run")
        clusters: list[WatchedCluster] = []
        reaper = self._start_reaper(life)
        try:
            clusters = [WatchedCluster(name, folder, life) for name in PROBE_MODELS]
            log.info("The worker has started: %s", ", ".join(f"cluster {cluster.name}" for cluster in clusters))
            while not self._signals:
                if (code := reaper.poll()) == PROBLEM_EXIT_CODE:
                    return 1
                if code is not None and time.monotonic() - self._reaper_started_at >= REAPER_PAUSE_SECONDS:
                    log.error("The reaper has ended with code %s and is started again", code)
                    reaper = self._start_reaper(life)
                for cluster in clusters:
                    if not self._supervise(cluster):
                        log.error("The cluster %s does not start; the worker stops", cluster.name)
                        return 1
                time.sleep(WATCH_INTERVAL_SECONDS)
            return 0
        finally:
            self._stop(clusters, reaper, heartbeat.drain_file(folder))
            shutil.rmtree(folder, ignore_errors=True)
            life.release()

    def _on_signal(self, _number: int, _frame: FrameType | None) -> None:
        self._signals += 1

    def _start_reaper(self, life: FileLock) -> ForkedProcess:
        def run() -> None:
            life.release()  # the worker's own
            _reap_until_stopped(self._times.tick)

        self._reaper_started_at = time.monotonic()
        return ForkedProcess(run, name="tallyman-reaper")

    def _supervise(self, cluster: WatchedCluster) -> bool:
        """Send health probes and restart the cluster where it has died or fallen silent; False to give up."""
        silence = cluster.silence()
        ended = cluster.process.poll()
        if ended is None and silence < self._times.silence:
            suspect = silence > self._times.silence / 2
            pause = self._times.canary / 12 if suspect else self._times.canary
            if time.monotonic() - cluster.probed_at >= pause:
                cluster.probed_at = time.monotonic()
                if not _send_probe(PROBE_MODELS[cluster.name]):
                    cluster.alive_at = time.monotonic()  # the broker is away: no fault of the cluster
            return True
        if ended is not None and time.monotonic() - cluster.alive_at < min(5.0, self._times.silence):
            return True  # died right after its start: take it slowly
        if ended is not None and not _broker_is_up(cluster.name):
            cluster.alive_at = time.monotonic()
            return True
        if cluster.failures >= MAX_FAILED_STARTS:
            return False
        what = "has completed no health probe" if ended is None else f"has ended with code {ended}"
        log.error("The cluster %s %s and is restarted", cluster.name, what)
        cluster.restart()
        return True

    def _stop(self, clusters: list[WatchedCluster], reaper: ForkedProcess, drain: Path) -> None:
        """Let every job return itself to the queue, then end all processes, by force where the time is over."""
        drain.touch()
        reaper.terminate()
        for cluster in clusters:
            if cluster.process.poll() is None:
                cluster.process.terminate()  # the main process alone; a signal to the group makes django-q2 hang
        ends = time.monotonic() + self._times.stop
        before = self._signals
        while any(cluster.process.poll() is None for cluster in clusters):
            if time.monotonic() >= ends or self._signals > before:
                log.warning(
                    "A cluster did not stop in time and is killed; the reaper puts its jobs back into the queue"
                )
                break
            time.sleep(WATCH_INTERVAL_SECONDS)
        for cluster in clusters:
            cluster.kill()
        while reaper.poll() is None and time.monotonic() < ends:
            time.sleep(WATCH_INTERVAL_SECONDS)
        signal_group(reaper.pid, signal.SIGKILL)
        reaper.wait()
        log.info("The worker has stopped")


def _reap_until_stopped(interval: float) -> None:
    """Do what the job ``tick`` does, every ``interval`` seconds until SIGTERM.

    So a queue that is broken as a whole cannot stop the recovery, and a round that takes long keeps nobody from looking
    after the clusters. Exits with PROBLEM_EXIT_CODE where this machine must not work any job.
    """
    stopped = False

    def stop(_number: int, _frame: FrameType | None) -> None:
        nonlocal stopped
        stopped = True

    signal.signal(signal.SIGTERM, stop)
    due = 0.0
    while not stopped:
        if time.monotonic() >= due:
            _reap()
            due = time.monotonic() + interval
        time.sleep(WATCH_INTERVAL_SECONDS)


def _reap() -> None:
    try:
        if problem := find_problem():
            log.error("The worker stops: %s", problem)
            sys.exit(PROBLEM_EXIT_CODE)
        broker.ensure_tick_schedule()
        reap()
        run_ticks()
    except Exception as error:
        log.exception("The reaper failed in this round")
        if is_database_error(error):
            note_database_failure()
    finally:
        connection.close()


def _send_probe(model: type[Job]) -> bool:
    """Send the next health probe, or the one that still waits; return whether the broker accepted it."""
    try:
        job = model._base_manager.filter(state=State.QUEUED).first() or model._base_manager.create(queued_at=Now())
        return broker.hint(job)
    except Exception as error:
        log.warning("No health probe could be sent: %s", type(error).__name__)
        return False
    finally:
        connection.close()


def _broker_is_up(cluster: str) -> bool:
    try:
        broker.queue_size(cluster)
    except Exception:
        log.warning("The broker or the database does not respond")
        return False
    finally:
        connection.close()
    return True


def _make_run_folder(parent: Path) -> tuple[Path, FileLock]:
    """Make the folder that this worker and its clusters share; remove those whose worker is dead.

    The lock that is returned says, for as long as it is held, that this worker lives.
    """
    parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    for other in parent.glob("worker-*"):
        with contextlib.suppress(OSError):
            if dead := try_lock(other / "lock"):
                with dead:
                    shutil.rmtree(other, ignore_errors=True)
    unlocked = Path(tempfile.mkdtemp(prefix="new-", dir=parent))
    life = lock(unlocked / "lock")
    folder = unlocked.with_name(f"worker-{os.getpid()}-{unlocked.name[4:]}")
    unlocked.rename(folder)
    return folder, life
