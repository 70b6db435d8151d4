"""The pages Security and Scanners show what the sandbox provides, also where the system grants only a part of it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from itertools import product

import pytest
from django.test import Client
from django.urls import reverse

from console.sandbox import policy
from console.sandbox import run as sandbox_run
from scanning import installation_checks
from tests.people import person

GRANTS = [*product([True, False], repeat=3)]


def cage(network: bool, files: bool, calls: bool) -> sandbox_run.SandboxSupport:
    return sandbox_run.SandboxSupport(
        network, files, calls, *("" if granted else "ENOSYS" for granted in (network, files, calls))
    )


@pytest.mark.parametrize(("network", "files", "calls"), GRANTS)
def test_what_is_not_granted_is_open_with_its_error_and_a_remedy(network: bool, files: bool, calls: bool) -> None:
    checks = list(installation_checks._sandbox_checks(cage(network, files, calls)))
    assert [check.level == "ok" for check in checks] == [network, files, calls]
    for check in checks:
        if check.level != "ok":
            assert "ENOSYS" in str(check.text)
            assert check.remedy


@pytest.mark.django_db
@pytest.mark.parametrize(("network", "files", "calls"), GRANTS)
def test_the_page_engines_names_what_holds_them(
    monkeypatch: pytest.MonkeyPatch, network: bool, files: bool, calls: bool
) -> None:
    monkeypatch.setattr(sandbox_run, "sandbox_support", lambda: cage(network, files, calls))
    viewer = Client()
    viewer.force_login(person())
    text = viewer.get(reverse("scanning:engines")).content.decode()
    parts = {"no network": network, "only its own files": files, "few system calls": calls}
    granted = ", ".join(part for part, is_granted in parts.items() if is_granted) or "none"
    missing = ", ".join(part for part, is_granted in parts.items() if not is_granted)
    assert f"<dd>{granted}{'; not available here: ' if missing else ''}{missing}</dd>" in text


@pytest.mark.parametrize("part", [policy.unshare_namespaces, policy.probe_landlock, policy.probe_seccomp])
def test_what_the_system_refuses_is_found_out_by_trying(part: Callable[[], int]) -> None:
    call = f"policy.{part.__name__}()"
    assert sandbox_run._try_policy(call.replace("()", "() and 0 or 38")) == "ENOSYS"
    assert sandbox_run._try_policy(call) in {"", "EPERM", "ENOSYS", "EOPNOTSUPP", "EINVAL"}


@pytest.mark.parametrize(
    ("part", "granted"),
    [(policy.unshare_namespaces, "network"), (policy.probe_landlock, "files"), (policy.probe_seccomp, "calls")],
)
def test_what_the_system_grants_is_used(part: Callable[[], int], granted: str) -> None:
    code = f"import sys; from console.sandbox import policy; sys.exit(policy.{part.__name__}())"
    alone = subprocess.run([sys.executable, "-c", code], timeout=60, check=False)
    assert getattr(sandbox_run.sandbox_support(), granted) == (alone.returncode == 0)
