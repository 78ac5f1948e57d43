"""Several server processes and one for background jobs; who dies is replaced.

They are forked from a process that has everything loaded, so they share most of their memory. Each
server has a socket of its own at the same port, over which the kernel spreads the connections; the
sockets stay open here, so those that wait at a dead one are taken by its successor.
"""

import gc
import multiprocessing
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable
from functools import partial
from multiprocessing.connection import wait

FORK = multiprocessing.get_context("fork")
GRACE = 5  # seconds for a request that is being answered


def run(app, host: str, port: int, workers: int, parent: int) -> None:
    """Serve until SIGTERM or Ctrl-C, or until the process `parent` (0: any) is gone."""
    from embedded.jobs import work

    sockets = [_listen(host, port) for _ in range(workers)]
    tasks: list[Callable[[], None]] = [partial(_serve, app, s, sockets) for s in sockets]
    tasks.append(partial(_work, work, sockets))
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _leave)
    gc.collect()
    gc.freeze()  # the children shall not copy what is loaded by counting it
    Crew(tasks).watch(parent)


class Crew:
    """Child processes, one for each task."""

    def __init__(self, tasks: list[Callable[[], None]]):
        self.tasks = tasks
        self.leash = os.pipe()  # reads as ended in the children once we are gone, however we went
        self.children = [self._start(task) for task in tasks]

    def watch(self, parent: int) -> None:
        try:
            while not parent or os.getppid() == parent:
                wait([child.sentinel for child in self.children], timeout=1)
                for n, child in enumerate(self.children):
                    if not child.is_alive():
                        print(f"Process {child.pid} ended ({child.exitcode}); another takes over.")
                        time.sleep(0.2)  # where each dies at once, for want of its database
                        self.children[n] = self._start(self.tasks[n])
        finally:
            self._stop()

    def _start(self, task: Callable[[], None]):
        sys.stdout.flush()  # or the child would print it again
        child = FORK.Process(target=_child, args=(task, *self.leash))
        child.start()
        return child

    def _stop(self) -> None:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, signal.SIG_IGN)
        for child in self.children:
            child.terminate()
        deadline = time.monotonic() + GRACE + 2
        for child in self.children:
            child.join(max(0.0, deadline - time.monotonic()))
            child.kill()


def _leave(*_: object) -> None:
    raise SystemExit(0)


def _child(task: Callable[[], None], leash: int, other_end: int) -> None:
    os.close(other_end)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_DFL)
    threading.Thread(target=_follow, args=(leash,), daemon=True).start()
    task()


def _follow(leash: int) -> None:
    os.read(leash, 1)
    os._exit(1)


def _serve(app, ours: socket.socket, sockets: list[socket.socket]) -> None:
    import uvicorn

    _close(s for s in sockets if s is not ours)
    config = uvicorn.Config(
        app, access_log=False, log_level="info", timeout_graceful_shutdown=GRACE
    )
    uvicorn.Server(config).run(sockets=[ours])


def _work(work: Callable[[], None], sockets: list[socket.socket]) -> None:
    _close(sockets)
    work()


def _close(sockets) -> None:
    for s in sockets:
        s.close()


def _listen(host: str, port: int) -> socket.socket:
    s = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    s.bind((host, port))
    s.listen(2048)
    return s
