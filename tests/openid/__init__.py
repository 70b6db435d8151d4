"""An OpenID provider that is none of ours: django-oauth-toolkit, as a small Django project in a process of its own.

Of ours is only what each of its users writes: settings, addresses, people and clients, and the claim that holds groups.
The sign-in, the consent, codes, tokens, their signatures and the keys are the toolkit's and Django's.
"""

from __future__ import annotations

import html
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

import requests

ROOT = Path(__file__).parents[2]


@contextmanager
def serve(folder: Path, known: dict[str, Any]) -> Iterator[str]:
    """Run the provider, which keeps its files in ``folder``, for the time of the block; gives its issuer.

    ``known`` has its "people" (name → password, groups) and its "clients" (fields of the toolkit's Application).
    """
    (folder / "known.json").write_text(json.dumps(known))
    log = folder / "log"
    with (
        log.open("w") as said,
        subprocess.Popen(
            [sys.executable, "-m", "tests.openid", str(folder)],
            cwd=ROOT,
            env={"PYTHONDONTWRITEBYTECODE": "1"},
            stdin=subprocess.PIPE,  # its end is the provider's: it outlives no test, not even a killed one
            stdout=subprocess.PIPE,
            stderr=said,
            text=True,
        ) as process,
    ):
        assert process.stdin
        assert process.stdout
        try:
            port = process.stdout.readline().strip()
            assert port, log.read_text()
            yield f"http://127.0.0.1:{port}"
        finally:
            process.stdin.close()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()


def sign_in_and_consent(url: str, *, name: str, password: str) -> str:
    """Do what a person and the browser do at the provider, from ``url`` on: sign in, consent; return where that leads.

    Raises ValueError, with what the page says, where the provider does not go on.
    """
    with requests.Session() as browser:
        browser.trust_env = False
        page = _submit(browser, browser.get(url, timeout=10), {"username": name, "password": password})
        answer = _submit(browser, page, {"allow": "Authorize"}, follow=False)
        if answer.status_code != 302:
            raise ValueError(answer.text)
        return answer.headers["Location"]


def _submit(
    browser: requests.Session, page: requests.Response, typed: dict[str, str], *, follow: bool = True
) -> requests.Response:
    """Send the form of ``page``, with what it has hidden."""
    if page.status_code != 200 or "<form" not in page.text:
        raise ValueError(page.text)
    fields = {}
    for tag in re.findall(r'<input type="hidden"[^>]*>', page.text):
        name, value = re.search(r'name="([^"]*)"', tag), re.search(r'value="([^"]*)"', tag)
        if name:
            fields[name[1]] = html.unescape(value[1]) if value else ""
    return browser.post(urljoin(page.url, ""), fields | typed, allow_redirects=follow, timeout=10)
