"""The messages between a worker and the program in the sandbox: one JSON object a packet (SOCK_SEQPACKET), bounded.

worker → program      {"rules": true} and a file of compiled rules, answered by {"ready": true}
                      {"look": largest file} or {"walk": true}, and two descriptors: the layer, and a socket on which
                      its answers are expected; answered by {"ended": exit code} when its process has ended
process of a layer    {"hits": [[namespace, rule, path, size, sha256], …]}, {"skipped": [line, …]}, and at last
→ worker, for a look  {"done": [files, bytes]}
… for a walk          {"files": [[path, size, offset], …]}; {"segments": [[position, offset, size], …]}, which belong
                      to the next file, whose offset is null; {"damaged": [where]}, and at last {"done": [0]}
"""

from __future__ import annotations

import json
import socket
from collections.abc import Sequence

PACKET_BYTES = 1 << 16  # bytes
BATCH_BYTES = PACKET_BYTES * 3 // 4


class MalformedMessage(Exception):
    """This is no message."""


def pack(message: dict[str, object]) -> bytes:
    """Return the packet of a message."""
    data = json.dumps(message, separators=(",", ":"), ensure_ascii=False).encode()
    if len(data) > PACKET_BYTES:
        raise ValueError(f"a message of {len(data)} bytes")
    return data


def unpack(data: bytes) -> dict[str, object]:
    """Return the message of a packet, which may come from somebody who means harm. Raises Malformed."""
    if len(data) > PACKET_BYTES:
        raise MalformedMessage("too long")
    try:
        message = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise MalformedMessage("no JSON") from error
    if not isinstance(message, dict) or len(message) != 1:
        raise MalformedMessage("no message")
    return message


def send(channel: socket.socket, message: dict[str, object], descriptors: Sequence[int] = ()) -> None:
    """Send a message, with ``descriptors``."""
    socket.send_fds(channel, [pack(message)], descriptors)


def receive(channel: socket.socket, *, descriptors: int) -> tuple[dict[str, object] | None, list[int]]:
    """Return the next message and the descriptors that came with it; None where the other side is gone."""
    data, found, _flags, _address = socket.recv_fds(channel, PACKET_BYTES + 1, descriptors, socket.MSG_CMSG_CLOEXEC)
    return (unpack(data) if data else None), found
