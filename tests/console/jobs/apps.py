"""Jobs that tests steer, in place of those that the apps have registered."""

from __future__ import annotations

import os
from contextlib import ExitStack
from dataclasses import replace

from django.apps import AppConfig


def _do_not_start() -> None:
    raise SystemExit("this cluster does not start")


class SteeredJobsConfig(AppConfig):
    """Comes behind the apps whose jobs it takes over."""

    name = "tests.console.jobs"
    label = "steered_jobs"
    to_the_end = ExitStack()

    def ready(self) -> None:
        from console.jobs.kinds import JOB_KINDS
        from tests.console.jobs.tasks import steered
        from tests.scanning.steered import rematch

        kinds = {
            # Any process of that cluster takes them.
            "database": replace(JOB_KINDS["database"], run=steered, cluster="scan", slots=None),
            "rematch": replace(JOB_KINDS["rematch"], run=rematch),
        }
        if os.environ.get("TALLYMAN_TEST_BROKEN_CLUSTER"):
            kinds["canary"] = replace(JOB_KINDS["canary"], prepare=_do_not_start)
        self.to_the_end.enter_context(JOB_KINDS.overridden({**JOB_KINDS, **kinds}))
