"""A 4 GB image: memory stays flat, progress moves, a cancel works in pull and analysis, the disk bound holds.

    python -m tests.benchmarks.large_image [--gigabytes 4] [--files N] [--all]

The image is one layer of incompressible files without compression, made while it is sent, so that it takes no disk of
the server; with ``--files 1000000`` a million small files in place of some large ones. Prints peak memory, what the
progress showed, how long cancels took, and what happens with a store of half the size. Malware is looked for; with
``--all`` Trivy looks too.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import random
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from http.server import BaseHTTPRequestHandler
from pathlib import Path

from demo.registry_server import RegistryServer, ServerRequest, ServerResponse
from tests.benchmarks.console import Console, MemoryWatch
from tests.fakes import images

FILE_BYTES = 64 << 20


def small_files(count: int) -> Iterator[bytes]:
    """Yield a tar of ``count`` small files in folders of a thousand, a folder at a time.

    Only what differs in a header is written anew: making a million of them anew takes longer than reading them.
    """
    member = tarfile.TarInfo(f"data/{0:06}/{0:09}.txt")
    member.size = 100
    header = bytearray(member.tobuf(tarfile.GNU_FORMAT))
    rest = sum(header[25:148]) + 8 * ord(" ") + sum(header[156:])
    for first in range(0, count, 1000):
        folder = bytearray()
        for number in range(first, min(first + 1000, count)):
            header[:25] = b"data/%06d/%09d.txt" % (first // 1000, number)
            header[148:156] = b"%06o\0 " % (rest + sum(header[:25]))
            folder += header + b"%0100d" % number + bytes(412)
        yield bytes(folder)
    yield bytes(10240)


def large_files(size: int) -> Iterator[bytes]:
    """Yield a tar of ``size`` bytes of files, always the same."""
    block = random.Random(0).randbytes(1 << 20)
    for number in range(size // FILE_BYTES):
        member = tarfile.TarInfo(f"data/{number}")
        member.size = FILE_BYTES
        yield member.tobuf(tarfile.GNU_FORMAT)
        for _ in range(FILE_BYTES // len(block)):
            yield block
    yield bytes(10240)


class StreamingServer(RegistryServer):
    """Sends one large blob as it is made."""

    def __init__(self, pieces: Callable[[], Iterator[bytes]]) -> None:
        super().__init__()
        self._pieces = pieces
        digest, self.length = hashlib.sha256(), 0
        for piece in pieces():
            digest.update(piece)
            self.length += len(piece)
        self.digest = f"sha256:{digest.hexdigest()}"

    def answer(self, request: ServerRequest) -> ServerResponse:
        if request.path.endswith(f"/blobs/{self.digest}"):
            return ServerResponse(200, {"Content-Type": "application/octet-stream", "X-Large": "1"})
        return super().answer(request)

    def send(self, handler: BaseHTTPRequestHandler, request: ServerRequest, answer: ServerResponse) -> None:
        if "X-Large" not in answer.headers:
            super().send(handler, request, answer)
            return
        handler.send_response(200)
        handler.send_header("Content-Length", str(self.length))
        handler.end_headers()
        try:
            if request.method == "GET":
                for piece in self._pieces():
                    handler.wfile.write(piece)
        except OSError:
            handler.close_connection = True


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--gigabytes", type=float, default=4)
    parser.add_argument("--files", type=int, default=0)
    parser.add_argument("--all", action="store_true")
    options = parser.parse_args()
    size = int(options.gigabytes * (1 << 30)) // FILE_BYTES * FILE_BYTES
    pieces = partial(small_files, options.files) if options.files else partial(large_files, size)
    with tempfile.TemporaryDirectory(prefix="tallyman-large-") as name, StreamingServer(pieces) as server:
        _put(server)
        categories = ["malware", "vulnerabilities", "sensitive"] if options.all else ["malware"]
        run(Path(name), server, categories)


def _put(server: StreamingServer) -> None:
    config = images.to_json(
        {"os": "linux", "architecture": "amd64", "rootfs": {"type": "layers", "diff_ids": [server.digest]}}
    )
    layer = {"mediaType": images.OCI_LAYER, "digest": server.digest, "size": server.length}
    manifest = {"schemaVersion": 2, "mediaType": images.OCI_MANIFEST, "layers": [layer]}
    manifest["config"] = images.descriptor(config, images.OCI_CONFIG)
    server.put_blob(config)
    server.put_manifest("team/large", "1.0", images.to_json(manifest), images.OCI_MANIFEST)


def run(folder: Path, server: StreamingServer, categories: list[str]) -> None:
    console = Console(folder)
    from demo.vulndb import install_demo_vulndb
    from inventory import tasks
    from inventory.models import Tag
    from registries.models import Registry
    from registries.sync_requests.start import start_sync
    from scanning.models import Scan
    from scanning.runs.scan_now import cancel, scan_now

    install_demo_vulndb()
    (synced,) = start_sync(registries=[Registry.objects.create(name="large", address=server.url)]).runs
    tasks.sync(synced.pk)
    tag = Tag.objects.get().pk

    def start() -> Scan:
        (scan,) = scan_now(tag_ids=[tag], requested_by=None, categories=categories).queued
        return scan

    def wait(scan: Scan, *states: str, stage: str = "", beyond: int = 0) -> Scan:
        while True:
            scan.refresh_from_db()
            if scan.state in states and stage in ("", scan.stage) and scan.progress_done >= beyond:
                return scan
            if scan.is_final:
                raise SystemExit(f"{scan.state}: {scan.reason}")
            time.sleep(0.05)

    def cancelled(scan: Scan, where: str) -> None:
        began = time.monotonic()
        cancel(scan_ids=[scan.pk])
        wait(scan, "cancelled")
        print(f"cancel in the middle of {where}: {time.monotonic() - began:.1f} s; {_left(folder)} bytes left")

    worker = console.worker()
    watch = MemoryWatch(worker.process.pid)
    cancelled(wait(start(), "running", stage="pulling", beyond=server.length // 10), "the pull")
    cancelled(wait(start(), "running", stage="analysing"), "the analysis")
    began = time.monotonic()
    scan, shown = start(), set()
    while not scan.is_final:
        scan.refresh_from_db()
        shown.add((scan.stage, scan.progress_done))
        time.sleep(0.1)
    watch.stop()
    steps = sum(stage == "pulling" for stage, _done in shown)
    print(f"{scan.state} {scan.reason} in {time.monotonic() - began:.1f} s: {scan.bytes_pulled / 1e9:.1f} GB pulled")
    print(f"progress of the pull was shown in {steps} steps; {_left(folder)} bytes left")
    print(f"peak memory of a worker: {watch.python} MiB, with its engine {watch.together} MiB")
    worker.stop()
    Registry.objects.update(name="bounded")
    from scanning.models import LayerResult

    LayerResult.objects.all().delete()
    os.environ["TALLYMAN_LAYER_STORE_BYTES"] = str(server.length // 2)
    worker = console.worker()
    scan, most = start(), 0
    while not scan.is_final:
        scan.refresh_from_db()
        most = max(most, _left(folder))
        time.sleep(0.1)
    print(f"with a store of {server.length / 2e9:.1f} GB: {scan.state}, at most {most / 1e9:.1f} GB: {scan.reason}")
    worker.stop()


def _left(folder: Path) -> int:
    total = 0
    for path in (folder / "layers").rglob("*"):
        try:
            total += path.stat().st_blocks * 512 if path.is_file() else 0
        except FileNotFoundError:
            continue
    return total


if __name__ == "__main__":
    main()
