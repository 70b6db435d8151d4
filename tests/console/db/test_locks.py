"""On SQLite, writers stand in line; nobody who holds a transaction waits for one who waits for it."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from django.conf import settings
from django.db import connection, transaction

from console.db.locks import write_lock

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(settings.DATABASES["default"]["ENGINE"] != "django.db.backends.sqlite3", reason="SQLite's"),
]
HOLD = """
import fcntl, sys, time
with open(sys.argv[1], "w") as turn:
    fcntl.flock(turn, fcntl.LOCK_EX)
    print("held", flush=True)
    sys.stdin.read()
"""


def test_one_at_a_time_and_those_who_wait_go_on_when_it_is_done() -> None:
    inside: list[int] = []
    most: list[int] = []

    def write() -> None:
        with write_lock():
            inside.append(1)
            most.append(len(inside))
            time.sleep(0.02)
            inside.pop()
        connection.close()

    threads = [threading.Thread(target=write) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert most == [1] * 5


def test_another_process_is_waited_for_even_if_it_dies() -> None:
    with write_lock():
        pass  # the file is there now
    turn = Path(settings.DATA_DIR) / "turn"
    entered = threading.Event()

    def write() -> None:
        with write_lock():
            entered.set()
        connection.close()

    command = [sys.executable, "-c", HOLD, str(turn)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout
        assert other.stdout.readline() == b"held\n"
        writer = threading.Thread(target=write)
        writer.start()
        assert not entered.wait(0.2)
        other.kill()
        assert entered.wait(60)
        writer.join(60)


def test_who_is_within_a_transaction_waits_for_no_turn() -> None:
    """It may hold the database's own lock, for which the one whose turn it is would wait."""
    held, done = threading.Event(), threading.Event()

    def hold() -> None:
        with write_lock():
            held.set()
            assert done.wait(60)
        connection.close()

    holder = threading.Thread(target=hold)
    holder.start()
    assert held.wait(60)
    with transaction.atomic(), write_lock():
        done.set()
    holder.join(60)
