"""What a process gives up before it becomes an engine: network, rights, files, and calls of the kernel. For good.

For supervisor.py, which says why this imports little. Each part returns 0, or the errno where the system does not grant
it; what is open stays open.
"""

from __future__ import annotations

import ctypes
import os
import stat
import struct
import sys

from console.processes.control import PR_CAPBSET_DROP, PR_SET_SECCOMP, libc, prctl, set_no_new_privs

SECCOMP_MODE_FILTER = 2
CLONE_NEWUSER, CLONE_NEWIPC, CLONE_NEWNET = 0x10000000, 0x08000000, 0x40000000
NAMESPACE_FLAGS = 0x7E020000  # the flags of clone(2) that make a namespace

# landlock(7): rights by their bits, and the numbers of the system calls, which are those of all processors.
LANDLOCK_CREATE, LANDLOCK_ADD, LANDLOCK_RESTRICT = 444, 445, 446
READ_RIGHTS = 0b1101  # execute, read a file, list a folder
WRITE_RIGHTS = 0b1_1111_1111_0010  # write a file; remove and make whatever there is
REFER_RIGHT, TRUNCATE_RIGHT = 1 << 13, 1 << 14  # of the second and the third version
FILE_RIGHTS = 0b0111 | TRUNCATE_RIGHT  # the rights that a path which is no folder may have
NETWORK_RIGHTS, SCOPE_FLAGS = 0b11, 0b11  # bind and connect (fourth version); abstract sockets and signals (sixth)
PATH_RULE, PORT_RULE = 1, 2
BIND_RIGHT = 0b01  # of NETWORK_RIGHTS
# What a program needs to be started. Nothing of it is ours.
SYSTEM_PATHS = (b"/usr", b"/lib", b"/lib64", b"/etc/ld.so.cache", b"/etc/localtime", b"/sys", b"/dev")

# seccomp(2): calls that no engine needs, by processor (audit architecture, name of ``os.uname``). Sockets first: those
# that are files (PostgreSQL's, Docker's, D-Bus) take no heed of network namespaces, nor of Landlock.
AARCH64, X86_64 = (0xC00000B7, "aarch64"), (0xC000003E, "x86_64")
DENIED_CALLS: dict[str, tuple[int, ...]] = {
    "x86_64": (
        *(41, 42, 43, 49, 50, 53, 288),  # socket connect accept bind listen socketpair accept4
        *(101, 310, 311, 312, 438),  # ptrace process_vm_readv process_vm_writev kcmp pidfd_getfd
        *(272, 308, 165, 166, 155, 161, 304),  # unshare setns mount umount2 pivot_root chroot open_by_handle_at
        *(175, 313, 176, 246, 320, 167, 168, 169, 163, 179, 103),  # modules kexec swap reboot acct quotactl syslog
        *(248, 249, 250, 298, 321, 323),  # add_key request_key keyctl perf_event_open bpf userfaultfd
    ),
    "aarch64": (
        *(198, 203, 202, 200, 201, 199, 242),
        *(117, 270, 271, 272, 438),
        *(97, 268, 40, 39, 41, 51, 265),
        *(105, 273, 106, 104, 294, 224, 225, 142, 89, 60, 116),
        *(217, 218, 219, 241, 280, 282),
    ),
}
# What changes files but by writing, which Landlock does not look at: refused to whom nothing is there to write.
ATTRIBUTE_CALLS: dict[str, tuple[int, ...]] = {
    "x86_64": (
        *(90, 91, 92, 93, 94, 260, 268, 452),  # chmod fchmod chown fchown lchown fchownat fchmodat fchmodat2
        *(132, 235, 261, 280, 188, 189, 190, 197, 198, 199, 463, 466),  # utime utimes futimesat utimensat, xattr
    ),
    "aarch64": (52, 53, 54, 55, 452, 88, 5, 6, 7, 14, 15, 16, 463, 466),
}
# What a server at a port needs of the calls for sockets, and by what it could send without a connection.
SERVER_CALLS: dict[str, tuple[int, ...]] = {
    "x86_64": (43, 49, 50, 288),  # accept bind listen accept4
    "aarch64": (202, 200, 201, 242),
}
SENDING_CALLS: dict[str, tuple[int, ...]] = {"x86_64": (44, 46, 307), "aarch64": (206, 211, 269)}  # sendto, sendmsg
SOCKET_CALL = {"x86_64": 41, "aarch64": 198}
AF_INET, SOCK_STREAM, SOCKET_TYPE_MASK = 2, 1, 0xF
COMMON_DENIED_CALLS = (*range(425, 434), 442)  # io_uring, which makes sockets too, and mounts
PROCESS_CALLS = {"x86_64": (57, 58, 59, 322), "aarch64": (221, 281)}  # fork vfork execve execveat
CLONE_THREAD = 0x10000
CLONE_CALLS = {"x86_64": 56, "aarch64": 220}
CLONE3_CALL = 435  # its flags lie where no filter can read them; the C library then takes clone
X32_CALL_BIT = 0x40000000  # the other numbers of an x86_64 kernel


def _errno() -> int:
    return ctypes.get_errno() or 1


def unshare_namespaces() -> int:
    """Move this process into namespaces of its own: without network, without rights, and blind to other processes.

    In a user namespace of its own a process may not trace, nor read the environment of, any process outside, though it
    is of the same user (ptrace(2), "access mode checking"). Started by root it has rights in there, until it executes
    something: none are left to it then.
    """
    user, group = os.getuid(), os.getgid()
    if libc.unshare(CLONE_NEWUSER | CLONE_NEWNET | CLONE_NEWIPC) != 0:
        return _errno()
    try:
        for name, text in (("setgroups", "deny"), ("uid_map", f"{user} {user} 1"), ("gid_map", f"{group} {group} 1")):
            with open(f"/proc/self/{name}", "w") as file:  # noqa: PTH123
                file.write(text)
    except OSError:
        pass  # without it the user has no name, which changes nothing
    right = 0
    while prctl(PR_CAPBSET_DROP, right) == 0:
        right += 1
    return 0


def start_loopback() -> int:
    """Bring up the loopback interface of this process's own network namespace. After ``unshare_namespaces()``."""
    import _socket  # few need these
    import fcntl

    with_flags = struct.pack("16sh22x", b"lo", 0x41)  # struct ifreq: IFF_UP, IFF_RUNNING
    own = _socket.socket(AF_INET, SOCK_STREAM)
    try:
        fcntl.ioctl(own.fileno(), 0x8914, with_flags)  # SIOCSIFFLAGS
    except OSError as error:
        return error.errno or 1
    finally:
        own.close()
    return 0


def send_sockets(channel: int, count: int) -> None:
    """Send ``count`` TCP sockets of this process's network namespace, not connected yet, over a Unix socket.

    Whoever has one may connect it to a server in the namespace, and needs no other way in. Raises OSError.
    """
    import _socket

    made = [_socket.socket(AF_INET, SOCK_STREAM) for _number in range(count)]
    descriptors = struct.pack(f"={count}i", *(each.fileno() for each in made))
    way = _socket.socket(_socket.AF_UNIX, SOCK_STREAM, 0, channel)
    way.sendmsg([b"S"], [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, descriptors)])
    way.close()
    for each in made:
        each.close()


def restrict_paths(*, reads: list[bytes], writes: list[bytes], offline: bool, port: int | None = None) -> int:
    """Let this process write below ``writes`` alone, and read there, in SYSTEM and below ``reads`` (empty: anywhere).

    Newer kernels also keep it from signals to processes outside, and where ``offline`` from TCP, but for listening at
    ``port``. Needs ``set_no_new_privs()``.
    """
    version = libc.syscall(LANDLOCK_CREATE, None, ctypes.c_size_t(0), ctypes.c_uint(1))
    if version < 1:
        return _errno()
    writing = WRITE_RIGHTS | (REFER_RIGHT if version >= 2 else 0) | (TRUNCATE_RIGHT if version >= 3 else 0)
    handled = writing | (READ_RIGHTS if reads else 0)
    network = NETWORK_RIGHTS if offline else 0
    requested = [handled, *([network] if version >= 4 else []), *([SCOPE_FLAGS] if version >= 6 else [])]
    attributes = struct.pack(f"={len(requested)}Q", *requested)
    ruleset = libc.syscall(LANDLOCK_CREATE, attributes, ctypes.c_size_t(len(attributes)), ctypes.c_uint(0))
    if ruleset < 0:
        return _errno()
    allowed = [
        *((path, READ_RIGHTS) for path in (*SYSTEM_PATHS, *reads)),
        *((path, READ_RIGHTS | writing) for path in writes),
    ]
    for path, rights in [*allowed, (b"/dev/null", WRITE_RIGHTS)]:
        try:
            descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
        except OSError:
            continue  # what is not there is not opened later either: whoever makes it must be allowed to
        rights &= handled if stat.S_ISDIR(os.fstat(descriptor).st_mode) else handled & FILE_RIGHTS
        rule = rights.to_bytes(8, sys.byteorder) + descriptor.to_bytes(4, sys.byteorder)
        failed = rights and libc.syscall(LANDLOCK_ADD, ruleset, ctypes.c_int(PATH_RULE), rule, ctypes.c_uint(0))
        os.close(descriptor)
        if failed:
            return _errno()
    if port is not None and network and version >= 4:
        rule = struct.pack("=QQ", BIND_RIGHT, port)
        if libc.syscall(LANDLOCK_ADD, ruleset, ctypes.c_int(PORT_RULE), rule, ctypes.c_uint(0)):
            return _errno()
    if libc.syscall(LANDLOCK_RESTRICT, ruleset, ctypes.c_uint(0)):
        return _errno()
    os.close(ruleset)
    return 0


def install_seccomp_filter(*, allow_attributes: bool, serves: bool = False) -> int:
    """Have the kernel refuse the calls that no engine needs, whoever makes them. Needs ``set_no_new_privs()``.

    ``allow_attributes`` lets it change the modes and times of files, and ``serves`` lets it listen for TCP. It connects
    to nothing and sends nothing but what it is asked for then either.
    """
    machine = os.uname().machine
    if machine not in DENIED_CALLS or sys.maxsize < 1 << 32:
        return 38  # ENOSYS: its numbers are not known here
    denied = {*DENIED_CALLS[machine], *COMMON_DENIED_CALLS, *(() if allow_attributes else ATTRIBUTE_CALLS[machine])}
    if serves:
        denied = (denied - {*SERVER_CALLS[machine], SOCKET_CALL[machine]}) | {*SENDING_CALLS[machine]}
    return _filter(tuple(sorted(denied)), serves=serves)


_process_filter: bytes | None = None  # made by prepare_to_deny_new_processes()


def prepare_to_deny_new_processes() -> None:
    """Make what ``deny_new_processes()`` needs, for the processes that this one forks."""
    global _process_filter
    machine = os.uname().machine
    if machine in PROCESS_CALLS:
        _process_filter = _program(PROCESS_CALLS[machine], threads_alone=True)


def deny_new_processes() -> int:
    """Have the kernel refuse to start processes and programs; threads may be. Beside ``install_seccomp_filter()``."""
    if _process_filter is None:
        prepare_to_deny_new_processes()
    return 38 if _process_filter is None else _install(_process_filter)


def _filter(numbers: tuple[int, ...], *, serves: bool = False) -> int:
    return _install(_program(numbers, serves=serves))


def _program(numbers: tuple[int, ...], *, threads_alone: bool = False, serves: bool = False) -> bytes:
    architecture, machine = next(each for each in (AARCH64, X86_64) if each[1] == os.uname().machine)
    socket_call = SOCKET_CALL[machine] if serves else None
    return _bpf_program(architecture, numbers, CLONE_CALLS[machine], threads_alone, socket_call)


def _install(program: bytes) -> int:
    code = ctypes.create_string_buffer(program, len(program))
    filter_ = struct.pack("HxxxxxxP", len(program) // 8, ctypes.addressof(code))
    return _errno() if prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, ctypes.c_char_p(filter_)) else 0


def _bpf_program(
    architecture: int, numbers: tuple[int, ...], clone: int, threads_alone: bool, socket_call: int | None
) -> bytes:
    """Return the filter: classic BPF over ``struct seccomp_data`` (number at 0, architecture at 4, arguments at 16).

    ``socket_call`` is allowed for TCP over IPv4 alone.
    """
    load, equal, at_least, any_of, mask, end = 0x20, 0x15, 0x35, 0x45, 0x54, 0x06
    ends = {"allow": 0x7FFF0000, "kill": 0x80000000, "refuse": 0x00050000 | 1, "unknown": 0x00050000 | 38}
    # (operation, where to go if it is so, where if not, operand); "" is the next row, a number so many rows further
    rows: list[tuple[int, str | int, str | int, int]] = [
        (load, "", "", 4),
        (equal, "", "kill", architecture),
        (load, "", "", 0),
        (at_least, "refuse", "", X32_CALL_BIT),
        *((equal, "refuse", "", number) for number in numbers),
        (equal, "unknown", "", CLONE3_CALL),
    ]
    if socket_call is not None:
        rows += [
            (equal, "", 5, socket_call),
            (load, "", "", 16),
            (equal, "", "refuse", AF_INET),
            (load, "", "", 24),
            (mask, "", "", SOCKET_TYPE_MASK),
            (equal, "allow", "refuse", SOCK_STREAM),
        ]
    rows += [(equal, "", "allow", clone), (load, "", "", 16)]
    rows.append(
        (any_of, "allow", "refuse", CLONE_THREAD) if threads_alone else (any_of, "refuse", "allow", NAMESPACE_FLAGS)
    )
    places = {name: len(rows) + place for place, name in enumerate(ends)}

    def jump(target: str | int, place: int) -> int:
        return target if isinstance(target, int) else places[target] - place - 1 if target else 0

    packed = [(code, jump(yes, place), jump(no, place), value) for place, (code, yes, no, value) in enumerate(rows)]
    return b"".join(struct.pack("=HBBI", *row) for row in [*packed, *((end, 0, 0, value) for value in ends.values())])


def probe_landlock() -> int:
    """Confine this process and return what :func:`restrict_paths` does: to find out whether it works here."""
    set_no_new_privs()
    return restrict_paths(reads=[], writes=[b"/dev/shm"], offline=True)


def probe_seccomp() -> int:
    """Return what :func:`install_seccomp_filter` does here; this process lives on with it."""
    set_no_new_privs()
    return install_seccomp_filter(allow_attributes=False)
