"""Which processes run: by pid, or by a variable, since a job sees other pids than the Hub."""

import psutil


def alive(pid: int) -> bool:
    """Tell whether a process runs; a zombie does not."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def marked(name: str, value: str) -> list[psutil.Process]:
    """Return the processes with this variable in their environment."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get(name) == value and alive(process.pid):
                found.append(process)
        except psutil.Error:
            pass
    return found
