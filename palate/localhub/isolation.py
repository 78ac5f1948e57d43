"""Jobs and Spaces without sight of the Hub: its folder, its processes, other people's disks.

    python isolation.py ROOT [KEPT… [+ READABLE…]] -- COMMAND…

Runs the command in namespaces of Linux where ROOT is empty but for the folders KEPT and, not to be
changed, READABLE, and no process outside is visible. A second user namespace locks that view:
nothing in it can be unmounted. Files elsewhere are those of the user who runs the Hub. This file
runs as a script, with the standard library alone, and ends as the command ends.
"""

import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from functools import cache
from pathlib import Path

NEW_MOUNTS, NEW_USERS, NEW_PIDS = 0x20000, 0x10000000, 0x20000000
BIND, RECURSIVE, PRIVATE = 0x1000, 0x4000, 0x40000
READ_ONLY, REMOUNT, RELATIVE_TIMES = 0x1, 0x20, 0x200000
LOCKED = 0x2 | 0x4 | 0x8  # no set-uid, devices, programs: a mount that has them keeps them
DIES_WITH_PARENT = 1  # of prctl
SUPPORT_SECONDS = 20


def command(
    root: Path, words: Sequence[str], kept: Sequence[Path] = (), readable: Sequence[Path] = ()
) -> list[str]:
    """Return the command that runs `words` where nothing else of `root` can be seen."""
    script = [sys.executable, "-IS", __file__, str(root)]
    return [*script, *map(str, kept), "+", *map(str, readable), "--", *words]


@cache
def supported() -> bool:
    """Tell whether this system allows it: Linux, with user namespaces."""
    if sys.platform != "linux":
        return False
    check = "import os, sys; sys.exit(os.getpid() > 9)"  # it is one of the first of its namespace
    words = command(Path("/nothing"), [sys.executable, "-IS", "-c", check])
    try:
        done = subprocess.run(
            words, stdin=subprocess.DEVNULL, capture_output=True, timeout=SUPPORT_SECONDS
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0


def main(root: str, *words: str) -> None:
    end = words.index("--")
    kept, folder = words[:end], str(Path.cwd())
    changed, readable = kept[: kept.index("+")], kept[kept.index("+") + 1 :]
    libc = ctypes.CDLL(None, use_errno=True)
    user, group = os.getuid(), os.getgid()
    _enter(libc, NEW_USERS | NEW_MOUNTS | NEW_PIDS, (0, user), (0, group))
    reading, writing = os.pipe()
    if child := os.fork():
        os.close(writing)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)  # the command decides; its whole group has them
        status = os.read(reading, 16)  # empty where the child was killed
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        _end_as(int(status) if status else code)
    libc.prctl(DIES_WITH_PARENT, signal.SIGKILL, 0, 0, 0)
    os.close(reading)
    _hide(libc, root, changed, readable)
    os.chdir(folder)
    if child := os.fork():  # this process is the first of its namespace: all end with it
        while (ended := os.wait())[0] != child:
            pass  # an orphan
        os.write(writing, str(os.waitstatus_to_exitcode(ended[1])).encode())
        os._exit(0)
    os.close(writing)
    _enter(libc, NEW_USERS | NEW_MOUNTS, (user, 0), (group, 0))
    os.execvp(words[end + 1], words[end + 1 :])


def _enter(
    libc: ctypes.CDLL, namespaces: int, user: tuple[int, int], group: tuple[int, int]
) -> None:
    """Enter new namespaces, where this user and group have the first id of each two."""
    _check(libc.unshare(namespaces), "new namespaces")
    Path("/proc/self/setgroups").write_text("deny")
    for name, (inside, outside) in (("uid_map", user), ("gid_map", group)):
        Path("/proc/self", name).write_text(f"{inside} {outside} 1")


def _hide(libc: ctypes.CDLL, root: str, changed: Sequence[str], readable: Sequence[str]) -> None:
    """Empty `root` but for these folders, and show only the processes of this namespace."""

    def mount(source: str, target: str, kind: str, flags: int) -> None:
        words = (source.encode(), target.encode(), kind.encode())
        _check(libc.mount(*words, ctypes.c_ulong(flags), None), f"mounting {target}")

    mount("none", "/", "none", RECURSIVE | PRIVATE)
    if Path(root).is_dir():
        folders = {
            name: os.open(name, os.O_PATH | os.O_DIRECTORY) for name in (*changed, *readable)
        }
        mount("none", root, "tmpfs", 0)
        for name, opened in folders.items():
            Path(name).mkdir(parents=True, exist_ok=True)
            mount(f"/proc/self/fd/{opened}", name, "none", BIND | RECURSIVE)
            os.close(opened)
        for name in readable:
            locked = os.statvfs(name).f_flag & LOCKED
            mount("none", name, "none", REMOUNT | BIND | READ_ONLY | locked | RELATIVE_TIMES)
    mount("proc", "/proc", "proc", LOCKED)


def _check(result: int, what: str) -> None:
    if result:
        number = ctypes.get_errno()
        sys.exit(f"Cannot run this apart from the Hub ({what}): {os.strerror(number)}")


def _end_as(code: int) -> None:
    """End with this exit code, or by the signal that a negative one names."""
    if code < 0:
        if -code not in (signal.SIGKILL, signal.SIGSTOP):
            signal.signal(-code, signal.SIG_DFL)
        os.kill(os.getpid(), -code)
    os._exit(code)


if __name__ == "__main__":
    main(*sys.argv[1:])
