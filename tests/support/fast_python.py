"""Takes the place of the Python interpreter: a fork of the zygote runs what it is given.

    python -IS fast_python.py EXECUTABLE REAL SOCKET … -- [-u] FILE | -m MODULE | -c CODE [WORD …]

It passes on its arguments, environment, folder and standard streams, and every signal that reaches
it. It ends as the fork ends, by the same signal or with the same exit code. When this process is
killed the fork is killed, too. For other options of Python, or an environment that every zygote
refuses, it becomes a real interpreter.

A request is its length, the three streams and JSON. The answers are lines of JSON: `refused`, or
`pid` and then `status`. What goes to the zygote after the request are numbers of signals.
"""

import json
import os
import signal
import socket
import struct
import sys
from pathlib import Path

FORWARDED = ("SIGHUP", "SIGINT", "SIGQUIT", "SIGTERM", "SIGUSR1", "SIGUSR2")


def request(words: list[str]) -> dict[str, object] | None:
    """Return what the words ask a Python to do, or None if a fork cannot."""
    unbuffered, kind = False, "file"
    while words and words[0].startswith("-"):
        word, *words = words
        if not set(word[1:]) <= set("umc"):
            return None
        unbuffered |= "u" in word
        if word[-1] in "mc":
            kind = {"m": "module", "c": "code"}[word[-1]]
            break
    if not words:
        return None
    umask = os.umask(0)
    os.umask(umask)
    return {
        "kind": kind,
        "what": words[0],
        "words": words[1:],
        "unbuffered": unbuffered,
        "environment": dict(os.environ),
        "folder": str(Path.cwd()),
        "umask": umask,
        "parent": str(os.getppid()),
        "ignores_sigint": signal.getsignal(signal.SIGINT) == signal.SIG_IGN,
    }


def main(executable: str, real: str, *words: str) -> None:
    end = words.index("--")
    sockets, words = words[:end], words[end + 1 :]
    wanted = request(list(words))
    signals = {getattr(signal, name) for name in FORWARDED}
    signal.pthread_sigmask(signal.SIG_BLOCK, signals)
    for path in sockets if wanted else ():
        connection = socket.socket(socket.AF_UNIX)
        connection.connect(path)
        data = json.dumps(wanted | {"executable": executable}).encode()
        socket.send_fds(connection, [struct.pack("!I", len(data))], [0, 1, 2])
        connection.sendall(data)
        answers = connection.makefile("r")
        if "pid" in json.loads(answers.readline()):
            for number in signals:
                signal.signal(number, lambda n, _, to=connection: to.send(bytes([n])))
            signal.pthread_sigmask(signal.SIG_UNBLOCK, signals)
            end_as(json.loads(answers.readline())["status"])
    signal.pthread_sigmask(signal.SIG_UNBLOCK, signals)
    os.execv(real, [real, *words])


def end_as(status: int) -> None:
    """End with this exit code, or by the signal that a negative one names."""
    if status < 0:
        signal.signal(-status, signal.SIG_DFL) if -status != signal.SIGKILL else None
        os.kill(os.getpid(), -status)
    os._exit(status)


if __name__ == "__main__":
    main(*sys.argv[1:])
