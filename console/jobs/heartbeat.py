"""What ``manage.py worker`` and the clusters below it tell each other, by files in a folder that both know.

``drain`` is there once the worker is going down; ``alive-<cluster>`` is touched whenever that cluster does something.
Outside such a worker (tests, a shell) nothing drains and no life need be shown.
"""

from __future__ import annotations

import os
from pathlib import Path

FOLDER_VARIABLE = "TALLYMAN_WORKER_FOLDER"  # set for the processes of clusters, like the next
CLUSTER_VARIABLE = "TALLYMAN_CLUSTER"


def join_cluster(folder: Path, cluster: str) -> None:
    """Have this process, and those that it forks, belong to ``cluster`` of the worker whose folder this is."""
    os.environ |= {FOLDER_VARIABLE: str(folder), CLUSTER_VARIABLE: cluster}


def _folder() -> str:
    return os.environ.get(FOLDER_VARIABLE, "")


def is_cluster() -> bool:
    """Whether this process belongs to a cluster below ``manage.py worker``."""
    return bool(_folder())


def is_draining() -> bool:
    """Whether the worker above this process is going down."""
    folder = _folder()
    return bool(folder) and os.path.exists(f"{folder}/drain")  # noqa: PTH110 (called often)


def report_alive() -> None:
    """Let the worker's watchdog see that this cluster takes work and does it."""
    if folder := _folder():
        liveness_file(Path(folder), os.environ.get(CLUSTER_VARIABLE, "quick")).touch()


def liveness_file(folder: Path, cluster: str) -> Path:
    """Return the file that ``cluster`` touches."""
    return folder / f"alive-{cluster}"


def drain_file(folder: Path) -> Path:
    """Return the file whose existence tells clusters to drain."""
    return folder / "drain"
