"""A Python that has imported heavy modules, and forks a process for each script.

    python zygote.py FOLDER MODULE [MODULE ...]

It listens at FOLDER/socket; `fast_python.py` is the client and explains the protocol. It runs one
thread, and ends with all forks when its standard input ends.

A fork has its own pid, session, arguments, environment, working directory and standard streams.
It imports palate itself, runs its script as `__main__` and ends as an interpreter ends: exit codes,
signals, uncaught errors and atexit are those of a new process. A script that comes to its end does
not free its objects one by one, so what `__del__` would do then is not seen. What forks share:

- A variable in `READ_EARLY` has the zygote's value, unless it is in `READ_AGAIN`. A request with
  another value is refused, and the client starts a real interpreter.
- Python's hash seed and the memory map. Forks cannot show that a result is independent of them.
- The command line and the environment that `/proc` shows, which are the zygote's.
"""

import atexit
import ctypes
import gc
import importlib
import io
import json
import os
import re
import runpy
import selectors
import signal
import socket
import struct
import sys
import tempfile
import threading
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

# variables that libraries read when they are imported, or the C library when a process starts
READ_EARLY = re.compile(
    r"(HF|HUGGINGFACE|TRANSFORMERS|DATASETS|TOKENIZERS|TRL|PEFT|TORCHINDUCTOR|TORCHDYNAMO|CUDA|OMP"
    r"|GRADIO|OAUTH|OPENID|SPACE|MKL|KMP|OPENBLAS|MALLOC|LD|LC|PYTHON)_?\w*|LANG|TZ|TMPDIR|DS_ACCELERATOR|SYSTEM"
)
# what a fork reads again: the constants that the modules `READERS` made of them
READ_AGAIN = re.compile(
    r"HF_(ENDPOINT|HOME|TOKEN|HUB_DISABLE_\w+)|(OAUTH|OPENID|SPACE)_\w+|SYSTEM|TMPDIR"
    r"|GRADIO_(SERVER_(NAME|PORT)|ANALYTICS_ENABLED)|PYTHON(PATH|UNBUFFERED)"
)
READERS = (
    "huggingface_hub.constants",
    "datasets.config",
    "gradio.http_server",
    "gradio.node_server",
    "gradio.oauth",
)
CONSTANTS = (str, int, float, Path, type(None))
LENGTH = struct.Struct("!I")
PR_SET_PDEATHSIG = 1
PEER = struct.Struct("3i")  # pid, uid, gid


@dataclass(frozen=True)
class Fork:
    """A process, the connection of the client that asked for it, and the file with its pid."""

    pid: int
    connection: socket.socket
    file: Path

    def say(self, **answer: Any) -> None:
        with suppress(OSError):  # the client has gone
            self.connection.sendall(json.dumps(answer).encode() + b"\n")


class Zygote:
    """Accepts requests at `folder`/socket."""

    def __init__(self, folder: Path, before: dict[str, str]):
        self._folder, self._before = folder, before
        self._imported = {n: v for n, v in os.environ.items() if before.get(n) != v}
        self._forks: dict[int, Fork] = {}  # by the handle that tells of their end
        self._selector = selectors.DefaultSelector()
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(folder / "socket"))
        self._listener.listen(16)

    def serve(self) -> dict[str, Any] | None:
        """Return None when standard input ends; in a fork return the request that it answers."""
        self._selector.register(self._listener, selectors.EVENT_READ, self._accept)
        self._selector.register(sys.stdin, selectors.EVENT_READ, lambda: None)
        while True:
            for key, _ in self._selector.select():
                if key.fileobj is sys.stdin:
                    return None
                if request := key.data():
                    return request

    def _accept(self) -> dict[str, Any] | None:
        connection, _ = self._listener.accept()
        request = None
        head, streams, _, _ = socket.recv_fds(connection, LENGTH.size, 3)
        with connection.makefile("rb") as reader, suppress(ValueError):
            request = json.loads(reader.read(LENGTH.unpack(head)[0]) if head else b"")
        if request is None:  # the client was killed before it had sent everything
            connection.close()
        elif differing := self._differing(request["environment"]):
            connection.sendall(json.dumps({"refused": sorted(differing)}).encode() + b"\n")
            connection.close()
        elif not (pid := os.fork()):
            self._selector.close()
            request["environment"] = self._imported | request["environment"]
            become(request, streams)
            return request
        else:
            self._keep(pid, connection)
        for stream in streams:
            os.close(stream)
        return None

    def _differing(self, environment: dict[str, str]) -> set[str]:
        """Return the variables that were read too early for this environment."""
        environment = {n: v for n, v in environment.items() if not READ_AGAIN.fullmatch(n)}
        allowed = early(self._before).items() | early(self._imported).items()
        wrong = {name for name, value in early(environment).items() if (name, value) not in allowed}
        missing = early(self._before).keys() - environment.keys()
        return wrong | {name for name in missing if not READ_AGAIN.fullmatch(name)}

    def _keep(self, pid: int, connection: socket.socket) -> None:
        peer, _, _ = PEER.unpack(
            connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, PEER.size)
        )
        fork = Fork(pid, connection, self._folder / str(peer))
        fork.file.write_text(str(pid))
        handle = os.pidfd_open(pid)
        self._forks[handle] = fork
        self._selector.register(handle, selectors.EVENT_READ, lambda: self._reap(handle))
        self._selector.register(connection, selectors.EVENT_READ, lambda: self._hear(fork))
        fork.say(pid=pid)

    def _hear(self, fork: Fork) -> None:
        """Pass on the signals that the client sends, a byte each; without client kill the fork."""
        if fork.connection.fileno() < 0:
            return  # it ended at the same moment
        numbers = b""
        with suppress(ConnectionError):
            numbers = fork.connection.recv(16)
        for number in numbers or [signal.SIGKILL]:
            os.kill(fork.pid, number)
        if not numbers:
            self._selector.unregister(fork.connection)

    def _reap(self, handle: int) -> None:
        fork = self._forks.pop(handle)
        fork.file.unlink()
        _, status = os.waitpid(fork.pid, 0)
        for source in (handle, fork.connection):
            with suppress(KeyError):  # the client has gone
                self._selector.unregister(source)
        os.close(handle)
        fork.say(status=os.waitstatus_to_exitcode(status))
        fork.connection.close()


def early(environment: dict[str, str]) -> dict[str, str]:
    """Return the part of an environment that has its effect before a script runs."""
    return {name: value for name, value in environment.items() if READ_EARLY.fullmatch(name)}


def become(request: dict[str, Any], streams: list[int]) -> None:
    """Turn this fork into a process that was started as the request says."""
    os.setsid()
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
    os.closerange(3, os.sysconf("SC_OPEN_MAX"))
    ignored = request["ignores_sigint"]
    signal.signal(signal.SIGINT, signal.SIG_IGN if ignored else signal.default_int_handler)
    before = dict(os.environ)
    os.environ.clear()
    os.environ.update(request["environment"])
    read_again(before)
    if os.environ.get("PALATE_PARENT") == request["parent"]:
        os.environ["PALATE_PARENT"] = str(os.getppid())  # what starts a Space, for the Space
    os.chdir(request["folder"])
    os.umask(request["umask"])
    sys.executable = request["executable"]
    if request["unbuffered"] or os.environ.get("PYTHONUNBUFFERED"):
        raw = io.FileIO(1, "w", closefd=False)
        sys.stdout = sys.__stdout__ = io.TextIOWrapper(raw, "utf-8", write_through=True)
    if "TORCH_CPP_LOG_LEVEL" in os.environ:
        # torch reads it at its import, and this part of its import again
        ctypes.CDLL("libc10.so")._ZN3c1011initLoggingEv()
    sys.modules["numpy"].random.seed()  # from the system, as at its import


def read_again(before: Mapping[str, str]) -> None:
    """Let what was imported hold what it would have read from this environment."""
    names = {name for name in {*before, *os.environ} if READ_AGAIN.fullmatch(name)}
    if all(before.get(name) == os.environ.get(name) for name in names):
        return
    old_path, new_path = (e.get("PYTHONPATH", "").split(":") for e in (before, os.environ))
    rest = [p for p in sys.path[1:] if p not in old_path]
    sys.path[1:] = [p for p in new_path if p and p not in rest] + rest
    temporary, tempfile.tempdir = tempfile.gettempdir(), None
    moved = [(f"{temporary}/gradio", f"{tempfile.gettempdir()}/gradio")]
    changed: dict[str, list[tuple[Any, Any]]] = {}
    for module in (sys.modules[name] for name in READERS if name in sys.modules):
        constants = {n: v for n, v in vars(module).items() if isinstance(v, CONSTANTS)}
        importlib.reload(module)
        for name, old in constants.items():
            if (new := getattr(module, name)) != old:
                changed.setdefault(name, []).append((old, new))
    moved += [(str(old), str(new)) for old, new in changed.get("HF_HOME", ())]
    for module in list(sys.modules.values()):  # what others made of these constants
        for name, value in list(getattr(module, "__dict__", {}).items()):
            for old, new in changed.get(name, ()):
                if type(value) is type(old) and value == old:
                    setattr(module, name, new)
            for old, new in moved if name.isupper() and isinstance(value, str | Path) else ():
                if f"{value}/".startswith(f"{old}/") and not f"{value}/".startswith(f"{new}/"):
                    setattr(module, name, type(value)(str(value).replace(old, new, 1)))
    if hub := sys.modules.get("huggingface_hub.hf_api"):
        hub.api.endpoint = sys.modules["huggingface_hub.constants"].ENDPOINT


def run(request: dict[str, Any]) -> None:
    """Run the file, module or code that was asked for."""
    kind, what, words = request["kind"], request["what"], request["words"]
    if kind == "file":
        sys.argv, sys.path[0] = [what, *words], str(Path(what).resolve().parent)
        runpy.run_path(what, run_name="__main__")
    elif kind == "module":
        sys.argv, sys.path[0] = ["-m", *words], str(Path.cwd())
        runpy.run_module(what, run_name="__main__", alter_sys=True)
    else:
        sys.argv, sys.path[0] = ["-c", *words], ""
        sys.modules["__main__"] = module = ModuleType("__main__")
        exec(compile(what, "<string>", "exec"), vars(module))


def leave(status: int) -> None:
    """End as an interpreter does, but for freeing every object, which takes half a second."""
    threading._shutdown()
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status & 0xFF)


def main() -> None:
    before = dict(os.environ)
    folder, *modules = sys.argv[1:]
    for name in modules:
        importlib.import_module(name)
    zygote = Zygote(Path(folder), before)
    gc.collect()
    gc.freeze()  # or collections in the forks would copy the memory that they share
    print("listening", flush=True)
    if request := zygote.serve():
        status = 0
        try:
            run(request)
        except SystemExit as end:
            if not isinstance(end.code, int | None):
                raise
            status = end.code or 0
        leave(status)


if __name__ == "__main__":
    main()
