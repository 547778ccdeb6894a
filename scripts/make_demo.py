"""Makes the recording of ``sysdash replay --demo``, by really running what it shows.

Run it as root, on a machine that is otherwise quiet, with nginx, wrk, redis-server and
redis-benchmark installed::

    unshare --uts .venv/bin/python scripts/make_demo.py sysdash/demo/demo.sysdash

A small shop: nginx serves pages, redis keeps carts, ``orders`` writes to a database with SQLite.
Three things go wrong, one after the other, and docs/replay.md tells how to find them:

* from 0:25 on, eight threads of ``reports`` wait for one lock;
* from 0:55 on, ``backup`` writes so much that ``orders`` waits for the disk;
* from 1:25 on, ``agent`` looks for a file that is not there, thousands of times a second.

Everything is started here, runs in a cgroup and a folder of its own, and is ended here.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

HOST = "shop-1"
SECONDS = 120
LOCK_S, DISK_S, MISSING_S = (25, 42), (55, 72), (85, 100)
OPTIONS = ("--threshold", "clock_nanosleep=off,pause=off")
"""Who sleeps for as long as it wants to is not slow, and would crowd out what is."""

_PR_SET_NAME = 15
_PORT, _REDIS_PORT = 18080, 16379


def named(name: str) -> None:
    """Give this process a name of its own."""
    ctypes.CDLL(None).prctl(_PR_SET_NAME, name.encode(), 0, 0, 0)


def orders(folder: Path) -> None:
    """Write an order to the database, many times a second."""
    database = sqlite3.connect(folder / "orders.db", isolation_level=None)
    database.execute("CREATE TABLE orders (id INTEGER PRIMARY KEY, item TEXT, paid REAL)")
    while True:
        database.execute("INSERT INTO orders (item, paid) VALUES ('tea', 4.5)")
        time.sleep(0.05)


def reports(folder: Path) -> None:
    """Eight threads that hold one lock for some milliseconds each."""
    lock = threading.Lock()

    def work() -> None:
        while True:
            with lock:
                list((folder / "pages").iterdir())
                time.sleep(0.003)

    for _ in range(8):
        threading.Thread(target=work, daemon=True).start()
    signal.pause()


def backup(folder: Path) -> None:
    """Copy until the disk has more to do than it can."""
    block = os.urandom(1 << 20)
    while True:
        with (folder / "backup.tar").open("wb", buffering=0) as file:
            for _ in range(64):
                file.write(block)
                os.fdatasync(file.fileno())


def agent(folder: Path) -> None:
    """Look for a configuration that nobody has written."""
    while True:
        for _ in range(400):
            try:
                (folder / "agent" / "rules.yaml").open().close()
            except FileNotFoundError:
                continue
        time.sleep(0.1)


def carts() -> None:
    """Put things into carts, and look at them."""
    with socket.create_connection(("127.0.0.1", _REDIS_PORT)) as redis:
        number = 0
        while True:
            number += 1
            redis.sendall(b"INCR cart:%d\r\nGET cart:%d\r\n" % (number % 99, number % 50))
            redis.recv(4096)
            time.sleep(0.002)


class Shop:
    """All that runs, and how it ends."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._running: list[int] = []

    def fork(self, name: str, does: Callable[[], None]) -> int:
        """Run a function in a process of that name."""
        pid = os.fork()
        if not pid:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            named(name)
            try:
                does()
            finally:
                os._exit(1)
        self._running.append(pid)
        return pid

    def run(self, *words: str) -> int:
        """Run a program without its output."""
        nothing = subprocess.DEVNULL
        child = subprocess.Popen(words, cwd=self._folder, stdout=nothing, stderr=nothing)
        self._running.append(child.pid)
        return child.pid

    def end(self, pid: int) -> None:
        """End one of them."""
        os.kill(pid, signal.SIGTERM)
        os.waitpid(pid, 0)
        self._running.remove(pid)

    def close(self) -> None:
        """End all of them."""
        for pid in list(self._running):
            self.end(pid)


_NGINX = """daemon off; worker_processes 2; error_log /dev/null; pid nginx.pid;
events {{ worker_connections 64; }}
http {{
  access_log access.log; client_body_temp_path tmp; proxy_temp_path tmp; fastcgi_temp_path tmp;
  uwsgi_temp_path tmp; scgi_temp_path tmp;
  server {{ listen 127.0.0.1:{port}; root {folder}/pages; }}
}}
"""


def make(file: Path, folder: Path, cgroup: Path) -> int:
    """Run the shop and record it; returns the exit code of sysdash."""
    (folder / "pages").mkdir()
    (folder / "pages" / "index.html").write_text("<h1>Tea</h1>" * 500)
    (folder / "nginx.conf").write_text(_NGINX.format(port=_PORT, folder=folder))
    sysdash = Path(sys.executable).with_name("sysdash")
    recorder = subprocess.Popen(
        [sysdash, "record", file, "--overwrite", "-d", str(SECONDS), "--cgroup", cgroup, *OPTIONS]
    )
    time.sleep(1.5)
    # From here on, what is started is in the cgroup: the recorder is not.
    (cgroup / "cgroup.procs").write_text(str(os.getpid()))
    shop = Shop(folder)
    try:
        shop.run("nginx", "-p", str(folder), "-c", "nginx.conf")
        shop.run("redis-server", "--port", str(_REDIS_PORT), "--save", "", "--bind", "127.0.0.1")
        time.sleep(1)
        began = time.monotonic()
        shop.fork("orders", lambda: orders(folder))
        shop.fork("carts", carts)
        shop.run("wrk", "-t1", "-c2", f"-d{SECONDS}s", f"http://127.0.0.1:{_PORT}/")
        troubles: list[tuple[str, Callable[[], None], tuple[int, int]]] = [
            ("reports", lambda: reports(folder), LOCK_S),
            ("backup", lambda: backup(folder), DISK_S),
            ("agent", lambda: agent(folder), MISSING_S),
        ]
        for name, does, (begin_s, end_s) in troubles:
            time.sleep(max(began + begin_s - time.monotonic(), 0))
            pid = shop.fork(name, does)
            time.sleep(max(began + end_s - time.monotonic(), 0))
            shop.end(pid)
        return recorder.wait()
    finally:
        shop.close()
        recorder.terminate()
        recorder.wait()


def main() -> int:
    """Make the recording that is named on the command line."""
    (file,) = map(Path, sys.argv[1:])
    # What was started is ended whatever ends this.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    socket.sethostname(HOST)
    cgroup = Path("/sys/fs/cgroup/unified/shop")
    if not cgroup.parent.is_dir():
        cgroup = Path("/sys/fs/cgroup/shop")
    cgroup.mkdir(exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="shop", dir="/var/tmp"))
    folder.chmod(0o755)
    try:
        return make(file.resolve(), folder, cgroup)
    finally:
        shutil.rmtree(folder)
        (cgroup.parent / "cgroup.procs").write_text(str(os.getpid()))
        cgroup.rmdir()


if __name__ == "__main__":
    sys.exit(main())
