"""The demo itself: a registry with sample images, and the console with it, until somebody stops it."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from contextlib import ExitStack
from io import StringIO
from pathlib import Path
from socket import socket
from typing import Literal

import requests
from django.conf import settings
from django.core.management import call_command

from console import visibility
from console.jobs.models import State
from console.models import User
from console.server.process_manager import ProcessManager, ProgramEndedError
from console.server.programs import BASE_FOLDER, programs
from demo.registry_server import RegistryServer
from demo.vulndb import install_demo_vulndb
from inventory.models import Image, Tag
from registries.models import Registry, SyncRun
from registries.sync_requests.start import start_sync
from scanning.runs.start import scan_now
from scanning.vulndb import install as vulndb_install

REGISTRY_NAME, ADMINISTRATOR_NAME = "Sample registry", "admin"
STOP_GRACE_SECONDS = 8.0  # seconds; a scan that is cut short is taken up again at the next start
DOWNLOAD_TIMEOUT_SECONDS = 60.0
PAGE_TIMEOUT_SECONDS = 60.0
TICK_SECONDS = 0.5

VulndbChoice = Literal["auto", "small"]
PrintLine = Callable[[str], None]


@visibility.unrestricted()
def run(
    *,
    say: PrintLine,
    folder: Path,
    page: socket,
    server: RegistryServer,
    credentials: tuple[str, str],
    database_choice: VulndbChoice,
) -> None:
    """Show the console on the listening socket ``page``, with the sample images that ``server`` holds.

    ``credentials`` are those of the server. Returns only by an exception: Stopped, ProgramEndedError.
    """
    logging.getLogger().setLevel(logging.WARNING)  # the terminal is for what is said; the programs have a log file
    say(f"Preparing the demo in {folder} ...")
    call_command("migrate", interactive=False, verbosity=0)
    call_command("collectstatic", interactive=False, verbosity=0)
    person = _administrator()
    log_file = folder / "demo.log"
    supervised = programs(listener=page, web_workers=2)
    with ExitStack() as stack:
        supervisor = stack.enter_context(
            ProcessManager(supervised, folder=BASE_FOLDER, grace=STOP_GRACE_SECONDS, report=say, log=log_file)
        )
        stack.enter_context(server)
        _wait_for_page(supervisor)
        say(f"Address: {settings.URL}\n{person}")
        demo = _Demo(supervisor, say)
        demo.provide_database(database_choice)
        demo.sync(_register(server.url, *credentials))
        demo.scan()
        say("Ctrl-C stops everything.")
        demo.stay()


def _administrator() -> str:
    """Return the lines ``User: …`` and ``Password: …`` of the administrator, whose password is new at each start."""
    lines = StringIO()
    known = User.objects.filter(username=ADMINISTRATOR_NAME).exists()
    call_command("create_administrator", ADMINISTRATOR_NAME, new_password=known, stdout=lines)
    return lines.getvalue().strip()


def _register(address: str, user: str, password: str) -> Registry:
    """Return the row of the sample registry, which may have another port and password than last time."""
    registry = Registry.objects.present().filter(name=REGISTRY_NAME).first() or Registry(name=REGISTRY_NAME)
    registry.address, registry.username = address, user
    registry.set_password(password)
    registry.save()
    return registry


def _wait_for_page(supervisor: ProcessManager) -> None:
    """Return when the sign-in page answers. Raises ProgramEndedError where it does not do so in time."""
    ends = time.monotonic() + PAGE_TIMEOUT_SECONDS
    said = ""
    while time.monotonic() < ends:
        supervisor.check()
        try:
            answer = requests.get(f"{settings.URL}/sign-in/", timeout=5)
        except requests.RequestException as error:
            said = type(error).__name__
        else:
            if answer.ok:
                return
            said = f"status {answer.status_code}"
        time.sleep(0.1)
    raise ProgramEndedError(f"The web server does not show the page ({said}).")


class _Demo:
    """What happens once the page can be opened. Everything here looks after the programs while it waits."""

    def __init__(self, supervisor: ProcessManager, say: PrintLine) -> None:
        self._supervisor, self._say = supervisor, say

    def provide_database(self, choice: VulndbChoice) -> None:
        """Have a vulnerability database: the one that is there, the public one, or the small one of the project."""
        if vulndb_install.current_facts() is not None:
            return
        why = "as asked for."
        if choice == "auto":
            self._say(
                f"Downloading the public vulnerability database (at most {DOWNLOAD_TIMEOUT_SECONDS:.0f} seconds) ..."
            )
            try:
                vulndb_install.download(check=self._download_check())
            except (vulndb_install.VulndbError, TimeoutError) as error:
                why = str(error)
            else:
                return
        install_demo_vulndb()
        self._say(f"Scanning with the small vulnerability database of the project: {why}")
        self._say("It knows some fifty vulnerabilities and is good for a demonstration only. The page says so too.")

    def _download_check(self) -> Callable[[], None]:
        ends = time.monotonic() + DOWNLOAD_TIMEOUT_SECONDS

        def check() -> None:
            self._supervisor.check()
            if time.monotonic() > ends:
                raise TimeoutError("the public one did not come in time.")

        return check

    def sync(self, registry: Registry) -> None:
        """Sync the sample registry and say what was found."""
        start_sync(registries=[registry])
        run = SyncRun.objects.filter(registry=registry).latest("pk")
        while run.state not in State.final():
            self._tick()
            run.refresh_from_db()
        if run.state != State.SUCCEEDED:
            self._say(f"The sync of the sample registry did not succeed. {run.reason} {run.remedy}")
        self._say(f"The sample registry holds {run.tags} image tags, and {run.not_images} tags that are no images.")

    def scan(self) -> None:
        """Scan what was never scanned, or not with success, and say how it goes."""
        waiting = Tag.objects.exclude(image__scan_state=Image.ScanState.SCANNED)
        scan_now(tag_ids=waiting.values_list("pk", flat=True), requested_by=None)
        said = None
        while True:
            states = scan_states()
            total, scanned = len(states), sum(of_one == {Image.ScanState.SCANNED} for of_one in states.values())
            if said != scanned:
                self._say(f"Scanned {scanned} of {total} images.")
                said = scanned
            if not set().union(*states.values()) & {Image.ScanState.QUEUED, Image.ScanState.RUNNING}:
                break
            self._tick()
        if scanned == total:
            self._say("All sample images are scanned.")
        for image in Image.objects.filter(scan_state=Image.ScanState.FAILED, tags__isnull=False).distinct():
            self._say(f"Scan exception: {image.tags.first()}: {image.scan_reason} {image.scan_remedy}")

    def stay(self) -> None:
        """Go on until somebody stops the demo."""
        while True:
            self._tick()

    def _tick(self) -> None:
        self._supervisor.check()
        time.sleep(TICK_SECONDS)


def scan_states() -> dict[str, set[str]]:
    """Return the states of scanning that each image has, by image ID, of all that have a tag.

    Until a scan has proven that two manifests hold one image, that image has a row, and so a state, for each.
    """
    states: dict[str, set[str]] = {}
    for image_id, state in Image.objects.filter(tags__isnull=False).values_list("image_id", "scan_state").distinct():
        states.setdefault(image_id, set()).add(state)
    return states
