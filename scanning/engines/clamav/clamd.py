"""The language of clamd, ClamAV's daemon: one connection in a session, files streamed (``man clamd``, INSTREAM)."""

from __future__ import annotations

import re
import socket
import struct
from dataclasses import dataclass
from datetime import UTC, datetime
from urllib.parse import urlsplit

from scanning.engines.base import EngineError, StopCheck
from scanning.engines.clamav import messages
from scanning.engines.formats.tar import Data

CONNECT_TIMEOUT_SECONDS = 5.0
RESPONSE_TIMEOUT_SECONDS = 180.0  # for one file; clamd itself gives up after MaxScanTime, two minutes
POLL_SECONDS = 1.0  # between looks at whether to stop, while clamd is at work
CHUNK_BYTES = 1 << 20
MAX_RESPONSE_BYTES = 4096
SIZE_LIMIT_MESSAGE = "size limit exceeded"
VERSION_PATTERN = re.compile(r"ClamAV (?P<engine>[^/\s]+)(?:/(?P<signatures>\d+)/(?P<built>.+))?")


@dataclass(frozen=True)
class ClamdVersion:
    """What clamd says of itself. Without the public signatures it tells no version of any."""

    engine: str
    signatures: int | None
    built_at: datetime | None  # of the signatures


class FileTooLarge(Exception):
    """clamd takes no file of this size (its setting StreamMaxLength)."""


class Clamd:
    """One session with clamd at ``address``: a path of a socket, or ``host:port``. Use it in a ``with``."""

    def __init__(self, address: str) -> None:
        self._address = address
        self._socket: socket.socket | None = None
        self._number = 0

    def __enter__(self) -> Clamd:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the session, whatever it is at."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def version(self) -> ClamdVersion:
        """Return what clamd says of itself. Raises EngineError where it does not answer as clamd does."""
        response = self._request(b"zVERSION\0")
        found = VERSION_PATTERN.fullmatch(response)
        if not found:
            raise EngineError(
                messages.NO_CLAMD(address=self._address, value=f"{response[:80]!r}"),
                messages.NAME_CLAMD(),
            )
        try:
            built = datetime.strptime(found["built"] or "", "%a %b %d %H:%M:%S %Y").replace(tzinfo=UTC)
        except ValueError:
            built = None
        return ClamdVersion(found["engine"], int(found["signatures"]) if found["signatures"] else None, built)

    def scan(self, content: Data, *, check: StopCheck) -> str:
        """Stream ``content`` to clamd; return the name of the signature that knows it, "" where none does.

        Raises FileTooLarge where clamd takes no so long file, EngineError where it fails, and what ``check`` raises.
        """
        try:
            self._send(b"zINSTREAM\0")
            for start in range(0, len(content), CHUNK_BYTES):
                check()
                piece = content[start : start + CHUNK_BYTES]
                self._send(struct.pack(">I", len(piece)), piece)
            self._send(struct.pack(">I", 0))
        except (BrokenPipeError, ConnectionResetError):
            pass  # clamd has said why before it closed
        response = self._response(check).removeprefix("stream: ")
        if response.endswith(" FOUND"):
            return response.removesuffix(" FOUND")
        if response == "OK":
            return ""
        self.close()
        if SIZE_LIMIT_MESSAGE in response:
            raise FileTooLarge
        raise EngineError(messages.FAILED_AT_FILE(value=response[:200]), messages.CHECK_LOG())

    def _request(self, command: bytes) -> str:
        self._send(command)
        return self._response(lambda: None, seconds=CONNECT_TIMEOUT_SECONDS)

    def _send(self, *parts: Data) -> None:
        if self._socket is None:
            self._socket = self._connect()
            self._number = 0
            self._socket.sendall(b"zIDSESSION\0")
        if bytes(parts[0][:1]) == b"z":
            self._number += 1
        try:
            for part in parts:
                self._socket.sendall(part)
        except TimeoutError as error:
            self.close()
            raise _no_response(self._address) from error

    def _response(self, check: StopCheck, *, seconds: float = RESPONSE_TIMEOUT_SECONDS) -> str:
        connection = self._socket
        if connection is None:
            raise _no_response(self._address)
        answer, waited = b"", 0.0
        connection.settimeout(POLL_SECONDS)
        while not answer.endswith(b"\0"):
            check()
            try:
                piece = connection.recv(MAX_RESPONSE_BYTES)
                if not piece or len(answer) > MAX_RESPONSE_BYTES:
                    raise ConnectionResetError
            except TimeoutError as error:
                waited += POLL_SECONDS
                if waited < seconds:
                    continue
                self.close()
                raise _no_response(self._address) from error
            except OSError as error:
                self.close()
                raise _no_response(self._address) from error
            answer += piece
        connection.settimeout(RESPONSE_TIMEOUT_SECONDS)
        response = answer.rstrip(b"\0").split(b"\0")[-1].decode("utf-8", "backslashreplace")
        number, colon, rest = response.partition(": ")
        return rest if colon and number == str(self._number) else response

    def _connect(self) -> socket.socket:
        try:
            if self._address.startswith("/"):
                connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
                connection.settimeout(CONNECT_TIMEOUT_SECONDS)
                connection.connect(self._address)
            else:
                parts = urlsplit(f"//{self._address}")
                connection = socket.create_connection(
                    (parts.hostname or "", parts.port or 3310), CONNECT_TIMEOUT_SECONDS
                )
        except (OSError, ValueError) as error:
            why = getattr(error, "strerror", None) or "no answer"
            raise EngineError(
                messages.UNREACHABLE(address=self._address, why=why),
                messages.START_CLAMD(),
                retry=True,
            ) from error
        connection.settimeout(RESPONSE_TIMEOUT_SECONDS)
        return connection


def _no_response(address: str) -> EngineError:
    return EngineError(
        messages.CONNECTION_CLOSED(address=address),
        messages.CHECK_LOG_AND_SCAN(),
        retry=True,
    )
