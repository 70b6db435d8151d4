"""The program in the sandbox: everything that reads the bytes of layers for the engines against malware.

It loads the rules once, and makes ready what does not depend on a layer. Each layer is then read by a process of its
own, forked for it and ended with it: what takes that over has no other layer, no other answers, and nobody to ask for
more. See protocol.py for what is said,
client.py for who says it.
"""

from __future__ import annotations

import gc
import json
import mmap
import os
import socket
import sys
import traceback
from dataclasses import astuple
from typing import Any

import yara_x

from console.processes.control import become_subreaper, die_with_parent, kill_descendants
from console.sandbox import policy
from scanning.engines.formats import tar
from scanning.engines.sandbox import protocol
from scanning.engines.skipped_content import printable_path
from scanning.engines.yara.scan import YaraLayerScan, make_scanner

CONTROL_DESCRIPTOR = 0  # the descriptor that the worker asks at


def main() -> None:
    """Do what is asked until the worker is gone."""
    control = socket.socket(fileno=CONTROL_DESCRIPTOR)
    become_subreaper()
    policy.prepare_to_deny_new_processes()
    scanner: Any = None
    while True:
        request, descriptors = protocol.receive(control, descriptors=2)
        if request is None:
            return
        if "rules" in request:
            with open(descriptors[0], "rb") as file:  # noqa: PTH123 (a descriptor)
                scanner = make_scanner(yara_x.Rules.deserialize_from(file))
            gc.collect()
            gc.freeze()  # so that what is forked shares it
            protocol.send(control, {"ready": True})
        else:
            protocol.send(control, {"ended": _run_forked(control, request, descriptors, scanner)})


def _run_forked(control: socket.socket, request: dict[str, object], descriptors: list[int], scanner: Any) -> int:
    """Do what is asked in a process of its own; return how it ended, when nothing of it is left."""
    parent = os.getpid()
    child = os.fork()
    if child == 0:
        try:
            os.setsid()
            die_with_parent(parent)
            control.close()
            policy.deny_new_processes()  # where the system cannot, the page Installation check says so
            layer, channel = descriptors
            data = mmap.mmap(layer, 0, prot=mmap.PROT_READ)
            os.close(layer)
            _respond(_ResponseWriter(socket.socket(fileno=channel)), request, data, scanner)
            os._exit(0)
        except BaseException:
            traceback.print_exc()
            sys.stderr.flush()
        finally:
            os._exit(1)
    for descriptor in descriptors:
        os.close(descriptor)
    status = os.waitpid(child, 0)[1]
    kill_descendants(child)
    return os.waitstatus_to_exitcode(status)


class _ResponseWriter:
    """What is told of one layer, in order, as many rows to a packet as fit."""

    def __init__(self, channel: socket.socket) -> None:
        self._channel = channel
        self._kind, self._rows, self._size = "", list[object](), 0

    def add(self, kind: str, row: object) -> None:
        size = len(json.dumps(row, ensure_ascii=False).encode()) + 1
        if kind != self._kind or self._size + size > protocol.BATCH_BYTES:
            self.send()
        self._kind, self._size = kind, self._size + size
        self._rows.append(row)

    def send(self) -> None:
        if self._rows:
            protocol.send(self._channel, {self._kind: self._rows})
        self._rows, self._size = [], 0


def _respond(answers: _ResponseWriter, request: dict[str, object], data: mmap.mmap, scanner: Any) -> None:
    if "walk" in request:
        _walk(answers, data)
        answers.add("done", 0)
    else:
        scan = YaraLayerScan(scanner, int(str(request["look"])))
        scan.layer(data)
        for hit in scan.hits:
            answers.add("hits", astuple(hit))
        for line in scan.notes.lines():
            answers.add("skipped", line.to_stored())
        for count in (scan.files, scan.bytes):
            answers.add("done", count)
    answers.send()


def _walk(answers: _ResponseWriter, data: mmap.mmap) -> None:
    try:
        for entry in tar.walk(data):
            if entry.is_file and entry.size:
                for segment in entry.segments or ():
                    answers.add("segments", astuple(segment))
                answers.add(
                    "files", [printable_path(entry.path), entry.size, entry.offset if entry.segments is None else None]
                )
    except tar.TarError as error:
        answers.add("damaged", str(error))
