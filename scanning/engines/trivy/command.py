"""How ``trivy`` is run: its flags, its bounds, its empty environment, and what its failures mean."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Protocol

from console.sandbox import run as sandbox_run
from scanning.engines.base import EngineError, RiskCategory, StopCheck
from scanning.engines.trivy import messages

SCANNER_NAMES = {RiskCategory.VULNERABILITIES: "vuln", RiskCategory.SENSITIVE: "secret"}
MAX_REPORT_BYTES = 64 * 1024**2
MAX_MEMORY_BYTES = 3 * 1024**3  # 170 MB is usual; a layer full of lock files or jar archives takes more
MAX_FILE_BYTES = 8 * 1024**3  # of its cache, and of archives that it unpacks to look into
VERSION_TIMEOUT_SECONDS = 60.0

JSON_REPORT = ("--format", "json")
ALL_PACKAGES = ("--list-all-pkgs",)  # in a report, also those without vulnerabilities
# No file but those that are named is read, whatever lies in the working folder, and nobody is asked.
COMMON_FLAGS = (
    *("--no-progress", "--skip-db-update", "--skip-java-db-update", "--offline-scan"),
    *("--skip-version-check", "--disable-telemetry", "--skip-vex-repo-update", "--skip-check-update"),
    *("--config", "", "--ignorefile", "", "--secret-config", ""),
)


class ReportTooLarge(EngineError):
    """Trivy has found more than one report, or its memory, can hold; of a part of the packages it may be less."""


class Runner(Protocol):
    """``console.sandbox.run.run``: raises a ``console.sandbox.run.ProcessFailed``, and whatever ``check`` raises."""

    def __call__(
        self,
        argv: Sequence[str | Path],
        *,
        check: StopCheck,
        timeout: float,
        env: Mapping[str, str],
        cwd: Path,
        stdout_limit: int,
        memory_bytes: int | None,
        file_bytes: int | None,
        stdin: bytes | None = None,
        reads: Sequence[Path] = (),
        writes: Sequence[Path] = (),
    ) -> sandbox_run.FinishedProcess: ...


def run_trivy(
    run: Runner, argv: Sequence[str | Path], *, check: StopCheck, timeout: float, cwd: Path
) -> sandbox_run.FinishedProcess:
    """Run ``argv`` to its end in ``cwd``. Raises EngineError for every end that is none of its own.

    It reads ``cwd`` and what ``cwd``/cache has links to, and writes to that cache and to a folder of its own: not to
    the layers, which are links to those of other scans, nor to the database.
    """
    own, cache = cwd / "own", cwd / "cache"
    own.mkdir(mode=0o700, exist_ok=True)
    linked = [path.resolve() for path in cache.iterdir() if path.is_symlink()] if cache.is_dir() else []
    try:
        return run(
            argv,
            check=check,
            timeout=timeout,
            env=trivy_environment(own),
            cwd=cwd,
            stdout_limit=MAX_REPORT_BYTES,
            memory_bytes=MAX_MEMORY_BYTES,
            file_bytes=MAX_FILE_BYTES,
            reads=[cwd, *linked],
            writes=[own, cache],
        )
    except sandbox_run.ProcessNotStarted as error:
        raise EngineError(
            messages.NOT_STARTED(error=error),
            messages.CHECK_EXECUTABLE(),
        ) from error
    except sandbox_run.ProcessTimeout as error:
        raise EngineError(
            messages.TIMED_OUT(timeout=f"{timeout:.0f}"),
            messages.RAISE_TIMEOUT(),
        ) from error
    except sandbox_run.ProcessOutputTooLarge as error:
        raise report_too_large() from error
    except sandbox_run.ProcessOutOfMemory as error:
        raise ReportTooLarge(
            messages.TOO_MUCH_MEMORY(value=MAX_MEMORY_BYTES // 1024**3),
            messages.CHECK_LARGEST_ARCHIVES(),
        ) from error
    except sandbox_run.ProcessFailed as error:
        raise EngineError(messages.NOT_ENDED(error=error), messages.SCAN_AGAIN(), retry=True) from error


def report_too_large() -> ReportTooLarge:
    """Return what is raised if Trivy says more than can be read."""
    return ReportTooLarge(messages.REPORT_TOO_LARGE(value=MAX_REPORT_BYTES // 1024**2), messages.SPLIT_IMAGE())


def trivy_environment(home: Path) -> dict[str, str]:
    """Return the whole environment that Trivy gets: nothing of ours, and a proxy that leads nowhere."""
    nowhere = "http://127.0.0.1:9"  # the discard port: what flags do not forbid fails at once
    return {
        "HOME": str(home),
        "TMPDIR": str(home),
        "PATH": "/nonexistent",
        "HTTP_PROXY": nowhere,
        "HTTPS_PROXY": nowhere,
        "GOMEMLIMIT": f"{MAX_MEMORY_BYTES // 2 // 1024**2}MiB",
        "GOGC": "400",  # collect rubbish less often: halves the time of a short run and takes 40 MB more
    }


_FILE_WARNING = re.compile(r'\tWARN\t[^\t]*\tfile_path=(?P<path>"(?:[^"\\\n]|\\[^\n])*"|[^\s"]+)')


def unreadable_files(finished: sandbox_run.FinishedProcess) -> set[str]:
    """Return the paths of the files that Trivy has warned of: it could not read them."""
    found = set()
    for warning in _FILE_WARNING.finditer(finished.stderr_tail):
        path = warning["path"]
        try:
            found.add(str(json.loads(path)) if path.startswith('"') else path)
        except ValueError:  # Go escapes more than JSON knows
            found.add(path.strip('"'))
    return found


def is_cache_damaged(finished: sandbox_run.FinishedProcess) -> bool:
    """Return whether the run failed as it does with a damaged cache: by an error, or by Go's panic (code 2)."""
    return "unable to initialize cache" in finished.stderr_tail or finished.returncode == 2


def failure_error(finished: sandbox_run.FinishedProcess) -> EngineError:
    """Return what the end of a run with a code other than 0 means."""
    said = finished.stderr_tail
    if "no space left on device" in said:
        return EngineError(messages.DISK_FULL(), messages.FREE_SPACE())
    if is_cache_damaged(finished):
        return EngineError(
            messages.CACHE_DAMAGED(),
            messages.SCAN_AGAIN_OR_OTHER_VERSION(),
            retry=True,
        )
    if "DB error" in said:
        return EngineError(
            messages.DATABASE_UNUSABLE(value=_last_log_message(said)),
            messages.UPDATE_DATABASE(),
        )
    if finished.returncode < 0:
        return EngineError(
            messages.ENDED_BY_SIGNAL(value=-finished.returncode),
            messages.CHECK_MEMORY(),
            retry=True,
        )
    return EngineError(
        messages.FAILED(returncode=finished.returncode, value=_last_log_message(said)),
        messages.PULL_MANUALLY(),
    )


def scanners_option(categories: Collection[RiskCategory]) -> str:
    """Return the value of ``--scanners`` for the categories."""
    return ",".join(SCANNER_NAMES[category] for category in sorted(categories))


def _last_log_message(said: str) -> str:
    """Return the last message of Trivy's log, short and without the chain of its functions."""
    lines = [line for line in said.splitlines() if "FATAL" in line] or said.strip().splitlines()[-1:] or ["no message"]
    message = re.sub(r"^\S+\s+FATAL\s+(Fatal error\s+)?", "", lines[-1]).replace("run error: image scan error: ", "")
    return message[:300]
