"""Sends layers to the program in the sandbox (child.py). Its responses may be forged by whoever made the layer.

One such program stays for as long as this process lives, since starting one for each layer would cost more than the
look. It gets a layer as an open file, so it needs no right to read any. An answer that cannot be meant, a process that
breaks or takes too much memory, and whatever ``check`` raises end it; the next layer has a new one.
"""

from __future__ import annotations

import logging
import os
import select
import socket
import sys
import sysconfig
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import isal
import yara_x
import zstandard

from console.i18n.message_codes import Message
from console.sandbox.persistent_process import ResidentProcess
from scanning.engines.base import EngineError, StopCheck
from scanning.engines.sandbox import messages, protocol
from scanning.engines.sandbox.responses import Hit, LayerFile, ResponseReader
from scanning.engines.yara.ruleset import RuleSet

log = logging.getLogger(__name__)

MAX_MEMORY_BYTES = 1 << 30  # 60 MB are usual; nested archives with long directories take some hundreds
POLL_SECONDS = 0.2  # between looks at whether to stop
MEMORY_POLL_SECONDS = 0.5  # between looks at its memory, which the kernel bounds more widely
EXIT_TIMEOUT_SECONDS = 5.0  # for a process that has answered to end
START_TIMEOUT_SECONDS = 60.0

PROJECT_ROOT = Path(__file__).resolve().parents[3]
# The packages are made known without their folders, which hold more than the program may read.
_CHILD_SCRIPT = """
import sys
from types import ModuleType
root, sys.path[:0] = sys.argv[1], sys.argv[2:]
for name in ("console", "console.i18n", "console.processes", "console.sandbox", "scanning"):
    sys.modules[name] = module = ModuleType(name)
    module.__path__ = [root + "/" + name.replace(".", "/")]
from scanning.engines.sandbox.child import main
main()
"""


@dataclass
class YaraLayerResult:
    """What YARA-X saw in a layer."""

    hits: list[Hit] = field(default_factory=list)
    files: int = 0
    bytes: int = 0
    skipped: tuple[Message, ...] = ()


class SandboxClient:
    """The program, started when it is first asked. May be used by several threads, and after a fork."""

    def __init__(self, *, memory_bytes: int = MAX_MEMORY_BYTES) -> None:
        self._memory_bytes = memory_bytes
        self._lock = threading.Lock()
        self._resident: ResidentProcess | None = None
        self._rules = ""  # version of those that it has

    def look(self, path: Path, *, rules: RuleSet, max_file_bytes: int, check: StopCheck) -> YaraLayerResult:
        """Return what YARA-X sees in the layer at ``path``. Raises EngineError, and what ``check`` raises."""
        result = YaraLayerResult()
        with self._request({"look": max_file_bytes}, path, rules=rules, check=check) as answers:
            for hit in answers.look(rules.told.keys()):
                result.hits.append(hit)
            result.files, result.bytes, result.skipped = answers.files, answers.bytes, tuple(answers.skipped)
        return result

    def walk(self, path: Path, *, check: StopCheck) -> Iterator[LayerFile | str]:
        """Yield the files of the layer at ``path``, and at last, where it is damaged, the words that say so.

        Raises EngineError, and what ``check`` raises.
        """
        with self._request({"walk": True}, path, check=check) as answers:
            yield from answers.walk(path.stat().st_size)

    @contextmanager
    def _request(
        self, request: dict[str, object], path: Path, *, check: StopCheck, rules: RuleSet | None = None
    ) -> Iterator[ResponseReader]:
        """Ask about one layer and give its answers, which must be read to their end."""
        with self._locked(check):
            try:
                resident = self._ready_process(rules, check)
                ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
                with ours:
                    with theirs, path.open("rb") as layer:
                        if not os.fstat(layer.fileno()).st_size:
                            yield ResponseReader.none()
                            return
                        protocol.send(resident.channel, request, [layer.fileno(), theirs.fileno()])
                    try:
                        yield ResponseReader(lambda: self._read_packet(resident, ours, check))
                    except EOFError:
                        raise self._broken(self._exit_code(resident)) from None
                if self._exit_code(resident) != 0:
                    self._kill()
            except protocol.MalformedMessage as error:
                self._kill()
                log.warning("The process that reads layers returned an invalid response: %s", error)
                raise EngineError(
                    messages.INVALID_RESPONSE(),
                    messages.FIND_WHO_PUSHED(),
                ) from error
            except BaseException:
                self._kill()
                raise

    @contextmanager
    def _locked(self, check: StopCheck) -> Iterator[None]:
        while not self._lock.acquire(timeout=POLL_SECONDS):
            check()
        try:
            yield
        finally:
            self._lock.release()

    def _ready_process(self, rules: RuleSet | None, check: StopCheck) -> ResidentProcess:
        """Return the program, started and with ``rules``."""
        resident = self._resident
        if resident is not None and (resident.owner != os.getpid() or _readable(resident.channel)):
            self._kill()  # another process's, or dead, or it talks without being asked
            resident = None
        if resident is None:
            resident = self._resident = self._start()
        if rules is not None and self._rules != rules.version:
            file = os.memfd_create("rules")
            try:
                with os.fdopen(os.dup(file), "wb") as writable:
                    writable.write(rules.compiled)
                os.lseek(file, 0, os.SEEK_SET)
                protocol.send(resident.channel, {"rules": True}, [file])
            except OSError:
                log.debug("The process that reads layers ended before a request")
            finally:
                os.close(file)
            if self._read_control(resident, check, START_TIMEOUT_SECONDS) != {"ready": True}:
                raise self._broken(None)
            self._rules = rules.version
        return resident

    def _start(self) -> ResidentProcess:
        packages = sorted({str(Path(str(module.__file__)).parents[1]) for module in (isal, yara_x, zstandard)})
        python = Path(sys.executable).resolve()
        reads = [
            *(Path(sys.base_prefix, name) for name in ("lib", "lib64")),
            *(Path(sysconfig.get_path(name)) for name in ("stdlib", "platstdlib")),
            *map(Path, packages),
            *(PROJECT_ROOT / "console" / name for name in ("i18n", "processes", "sandbox")),
            PROJECT_ROOT / "scanning",
        ]
        argv: list[str | Path] = [python, "-I", "-S", "-B", "-c", _CHILD_SCRIPT, str(PROJECT_ROOT), *packages]
        return ResidentProcess(argv, memory_bytes=self._memory_bytes, reads=reads)

    def _read_packet(self, resident: ResidentProcess, channel: socket.socket, check: StopCheck) -> bytes:
        """Return the next packet. Raises EOFError where none comes any more."""
        poll = select.poll()
        poll.register(channel, select.POLLIN)
        polled = time.monotonic()
        while True:
            check()
            ready = poll.poll(POLL_SECONDS * 1000)
            if ready:
                if not (packet := channel.recv(protocol.PACKET_BYTES + 1)):
                    raise EOFError
                return packet
            if time.monotonic() - polled >= MEMORY_POLL_SECONDS:
                polled = time.monotonic()
                resident.tail()
                if resident.memory() > self._memory_bytes:
                    raise self._too_large()

    def _read_control(self, resident: ResidentProcess, check: StopCheck, seconds: float) -> dict[str, object] | None:
        """Return what the program itself says next; None where it says nothing in time."""
        ends = time.monotonic() + seconds
        while time.monotonic() < ends:
            check()
            if _readable(resident.channel, POLL_SECONDS):
                with suppress(OSError, protocol.MalformedMessage):
                    data = resident.channel.recv(protocol.PACKET_BYTES + 1)
                    return protocol.unpack(data) if data else None
                return None
        return None

    def _exit_code(self, resident: ResidentProcess) -> int | None:
        """Return how the process of the layer has ended; None where nothing says so, since all of it ended."""
        answered = self._read_control(resident, _never_stop, EXIT_TIMEOUT_SECONDS) or {}
        code = answered.get("ended")
        return code if isinstance(code, int) else None

    def _kill(self) -> None:
        resident, self._resident, self._rules = self._resident, None, ""
        if resident is None:
            return
        if resident.owner != os.getpid():
            resident.detach()
            return
        if tail := resident.tail().strip():
            log.warning("Error output of the process that reads layers: %s", ascii(tail[-2000:]))
        resident.kill()

    def _too_large(self) -> EngineError:
        return EngineError(
            messages.TOO_MUCH_MEMORY(value=self._memory_bytes // 1024**2),
            messages.CHECK_LARGEST_ARCHIVES(),
        )

    def _broken(self, code: int | None) -> EngineError:
        tail = self._resident.tail() if self._resident else ""
        if "MemoryError" in tail or "memory allocation of" in tail:
            return self._too_large()
        reason = messages.ENDED_EARLY()
        if code is not None and code < 0:
            number = -code
            reason = messages.ENDED_BY_SIGNAL(number=number)
        return EngineError(
            reason,
            messages.SCAN_AGAIN_OR_FIND_WHO_PUSHED(),
            retry=code is None or code == -9,
        )


def _readable(channel: socket.socket, seconds: float = 0) -> bool:
    poll = select.poll()
    poll.register(channel, select.POLLIN)
    return bool(poll.poll(seconds * 1000))


def _never_stop() -> None: ...
