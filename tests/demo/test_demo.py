"""The demo from outside: started as ``make demo`` starts it, looked at over HTTP, stopped by a signal."""

import os
import re
import signal
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import requests

from demo import sample_secrets
from tests.demo.running import RunningDemo, free_port, processes_of, running

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


# image, tab, what it shows: the finding, where it lies, and the build step of its layer
SHOWN = (
    ("platform/mail/gateway:5.2", "malware/", ("EICAR", "opt/gateway/selftest/eicar.com", "COPY dir:9d1c0f")),
    ("marketing/legacy/cms:4.7", "malware/", ("var/www/html/uploads/2024/06/avatar.php", "var/tmp/.cache/sync.sh")),
    ("research/lab/notebook:nightly", "malware/", ("tmp/.x/config.json", "etc/cron.hourly/sysupdate")),
    ("shop/storefront/api:3.1.0", "sensitive/", ("root/.aws/credentials", "srv/api/.netrc", "deploy/credentials")),
    ("shop/storefront/api:3.1.0", "vulnerabilities/", ("CVE-2021-35042", "Django", "3.2.5", "pip install")),
    ("shop/storefront/web:latest", "vulnerabilities/?q=lodash", ("CVE-2021-23337", "npm ci")),
    ("shop/backend/payments:1.8", "sensitive/", ("etc/payments/tls/server.key",)),
    ("platform/ci/runner:2024.6", "history/", ("apt-get install -y socat", "ADD file:")),
)


def contents(data: Path) -> bytes:
    """Return all that the demo has left in its folder."""
    return b"".join(path.read_bytes() for path in data.rglob("*") if path.is_file())


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., RunningDemo]]:
    with running(tmp_path / "data") as start:
        yield start


def sign_in(demo: RunningDemo) -> tuple[requests.Session, str]:
    """Return a session of the person that the demo names, and the address."""
    address = demo.said(r"^Address: (http://127\.0\.0\.1:\d+)$")[1]
    session = requests.Session()
    session.trust_env = False
    page = session.get(f"{address}/sign-in/", timeout=30)
    token = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', page.text)
    assert token
    answer = session.post(
        f"{address}/sign-in/",
        data={
            "csrfmiddlewaretoken": token[1],
            "username": demo.said(r"^User: (\S+)$")[1],
            "password": demo.said(r"^Password: (\S+)$")[1],
        },
        timeout=30,
    )
    assert answer.ok
    assert "/images/" in answer.url
    return session, address


def stop(demo: RunningDemo, data: Path, number: signal.Signals) -> None:
    """Send the signal as a terminal would, to the foreground group, and see that nothing is left."""
    assert processes_of(data)
    os.killpg(demo.process.pid, number)
    assert demo.process.wait(timeout=40) == 0
    assert "Stopped." in demo.output.read_text()
    assert processes_of(data) == set()


def test_the_demo_scans_all_samples_shows_what_is_planted_and_leaves_no_process(
    start: Callable[..., RunningDemo], tmp_path: Path
) -> None:
    data = tmp_path / "data"
    first = start()
    first.said(r"^Scanning with the small vulnerability database")
    first.said(r"^Scanned [0-5] of 11 images\.$")
    stop(first, data, signal.SIGHUP)  # in the middle: the next start takes up what this one has left
    said = [first.output.read_text()]

    demo = start()
    session, address = sign_in(demo)
    demo.said(r"^The sample registry holds 15 image tags, and 2 tags that are no images\.$")
    demo.said(r"^All sample images are scanned\.$")
    said.append(demo.output.read_text())
    assert set(re.findall(r"^Scanned \d+ of (\d+) images\.$", "\n".join(said), re.MULTILINE)) == {"11"}
    counts = [list(map(int, re.findall(r"^Scanned (\d+) of", lines, re.MULTILINE))) for lines in said]
    assert counts == [sorted(count) for count in counts], "it only grows"
    assert counts[1][-1] == 11

    rows = session.get(f"{address}/images/", timeout=30).text
    assert rows.count('data-state="scanned"') >= 15
    assert "The demo vulnerability database is in use" in rows
    assert "charts/storefront" not in rows
    assert ".sig" not in rows

    link = r'<a class="addr" href="[^"]*?(\d+)/?"[^>]* data-tag="([^"]+)">'
    link += '<span class="mid"><span>([^<]*)</span><span>([^<]*)<'
    tags = {f"{folders}{last}:{tag}": key for key, tag, folders, last in re.findall(link, rows)}
    for name, tab, shown in SHOWN:
        page = session.get(f"{address}/scans/images/{tags[name]}/{tab}", timeout=30).text
        assert [words for words in shown if words not in page] == [], (name, tab)

    second = RunningDemo(data, "--port", str(free_port()))  # while the first one runs
    assert second.process.wait(timeout=60) == 1
    assert f"A demo runs already in {data} (process {demo.process.pid})." in second.output.read_text()
    stop(demo, data, signal.SIGINT)

    assert b"opt/gateway/selftest/eicar.com" in contents(data)
    for secret in (
        sample_secrets.github_token("api"),
        sample_secrets.github_token("runner"),
        sample_secrets.stripe_key("storefront"),
    ):
        assert secret.encode() not in contents(data)


def test_a_demo_that_is_killed_takes_its_programs_along(start: Callable[..., RunningDemo], tmp_path: Path) -> None:
    demo = start()
    demo.said(r"^Scanned \d+ of")
    demo.process.kill()
    demo.process.wait()
    deadline = time.monotonic() + 60
    while left := processes_of(tmp_path / "data"):
        assert time.monotonic() < deadline, left
        time.sleep(0.1)


def test_a_port_that_is_taken_is_told(start: Callable[..., RunningDemo], tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        demo = RunningDemo(tmp_path / "data", "--port", str(taken.getsockname()[1]))
        assert demo.process.wait(timeout=60) == 1
    assert "cannot be used: Address already in use" in demo.output.read_text()
