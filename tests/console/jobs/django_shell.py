"""Python with Django and all models for the data folder of a test, in one process: it loads Django once a test."""

from __future__ import annotations

import contextlib
import io
import json
import os
import subprocess
import sys
import traceback
from collections.abc import Mapping
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[3]


class DjangoShell:
    """Runs scripts as ``manage.py shell`` does, each with fresh names and connections.

    The process gets its environment by its input, so whoever looks for the processes of the console does not find it.
    """

    def __init__(self) -> None:
        self._process: subprocess.Popen[str] | None = None
        self._environment: dict[str, str] = {}

    def run(self, script: str, environment: Mapping[str, str], *, checkout: Path = CHECKOUT) -> str:
        """Run the script and return what it prints. Fails, with its traceback, where it raises."""
        if self._process is None or self._environment != environment:
            self.close()
            self._environment = dict(environment)
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.console.jobs.django_shell"],
                cwd=checkout,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                env={"PATH": environment["PATH"]},
            )
            self._send(self._environment)
        self._send(script)
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, f"the shell ended with {self._process.wait(10)}"
        output, error = json.loads(line)
        assert not error, error
        return str(output)

    def _send(self, value: object) -> None:
        assert self._process is not None
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(value) + "\n")
        self._process.stdin.flush()

    def close(self) -> None:
        """End the process."""
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._process = None


def main() -> None:
    """Serve: the environment comes first, then one script a line; each is answered with its output and its error."""
    os.environ.clear()
    os.environ.update(json.loads(sys.stdin.readline()))

    import django

    django.setup()

    from django.db import connections

    from console import visibility

    with visibility.unrestricted():
        for line in sys.stdin:
            error = ""
            with contextlib.redirect_stdout(io.StringIO()) as output:
                try:
                    exec(compile(json.loads(line), "script", "exec"), {"__name__": "__main__"})
                except BaseException:
                    error = traceback.format_exc()
                connections.close_all()
            print(json.dumps([output.getvalue(), error]), flush=True)


if __name__ == "__main__":
    main()
