"""The errors that palate raises.

    PalateError           something failed; exit code 1
    ├── UsageError        the command or its settings are wrong; exit code 2
    │   └── BadInput      a file's content is wrong: names file, row and field; exit code 2
    └── Unreachable       the Hub or Argilla does not answer or refuses the token; exit code 1

Messages end in what to do next. `run_guarded` prints them without a traceback unless `--debug`.
A thread in the background is a `Supervised`, which outlives any error.
"""

import errno
import os
import re
import sys
import threading
import traceback
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, requires, version

# controls of a terminal, and those that reverse the direction of text
UNPRINTED = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
# "trl>=1.16; extra == 'train'"
MODULES = {"markdown_it": "markdown_it_py"}  # that are called otherwise than their package
REQUIREMENT = re.compile(r"(?P<name>[\w.-]+)(?:\[.*\])?(?P<range>[^;]*);.*extra == .(?P<extra>\w+)")


def printable(text: str) -> str:
    """Return the text without what would steer a terminal or hide a part of the line."""
    return UNPRINTED.sub("\N{REPLACEMENT CHARACTER}", text)


class PalateError(Exception):
    """Something failed that the user can act on."""

    exit_code = 1


class UsageError(PalateError):
    """The command, a flag or a setting is wrong."""

    exit_code = 2


class BadInput(UsageError):
    """A file or repo has unexpected content.

    `row` counts from 1; the header of a CSV is row 0.
    """

    def __init__(
        self, source: object, problem: str, *, row: int | None = None, field: str | None = None
    ) -> None:
        where = str(source)
        if row is not None:
            where += f", row {row}"
        if field is not None:
            where += f", field {field!r}"
        super().__init__(f"{where}: {problem}")


class Unreachable(PalateError):
    """A server does not answer, or does not accept the token."""


def is_out_of_memory(error: BaseException) -> bool:
    """Tell whether memory ran out, on a GPU or a CPU: there torch raises a plain RuntimeError."""
    words = r"out of memory|not enough memory|can't allocate memory"
    return isinstance(error, MemoryError) or (
        isinstance(error, RuntimeError) and re.search(words, str(error)) is not None
    )


def run_guarded(call: Callable[[], object], *, debug: bool = False) -> int:
    """Call `call` and return the exit code: 0, 130 for Ctrl-C, or the error's own.

    An error that the user can act on is printed without a traceback; with `debug` it is raised.
    """
    try:
        call()
        sys.stdout.flush()
    except BrokenPipeError:  # the reader, such as head, has closed the pipe
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141  # a shell's exit code for SIGPIPE
    except (PalateError, OSError) as error:
        full = isinstance(error, OSError) and error.errno == errno.ENOSPC
        if debug or not (full or isinstance(error, PalateError)):
            raise
        text = "\n".join(" ".join(line.split()) for line in str(error).split("\n") if line.strip())
        if full:
            text += ". Free some space and run the same command again: it continues."
        print(f"palate: {printable(text)}", file=sys.stderr)
        return error.exit_code if isinstance(error, PalateError) else 1
    except ImportError as error:
        if debug or not (text := _missing(error)):
            raise
        print(f"palate: {text}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        if debug:
            raise
        return 130
    return 0


class Supervised(threading.Thread):
    """A daemon thread that repeats `turn` and outlives whatever that raises.

    `turn` does a piece of work, waits until there is more, and returns whether to go on. After an
    error, `problem` says what it was until a turn succeeds. The next turn comes after a wait that
    doubles from half a second to `longest` seconds. `stop` ends that wait: what failed is tried
    once more.
    """

    def __init__(self, name: str, turn: Callable[[], bool], *, longest: float = 30.0):
        super().__init__(name=name, daemon=True)
        self.problem: str | None = None
        self._turn, self._longest = turn, longest
        self._stopping = threading.Event()

    def stop(self) -> None:
        """Let the thread end after a failure; `turn` itself decides when its work is done."""
        self._stopping.set()

    def died(self) -> bool:
        """Tell whether the thread has ended although nobody told it to."""
        return self.ident is not None and not (self.is_alive() or self._stopping.is_set())

    def run(self) -> None:
        failures = 0
        while True:
            last = self._stopping.is_set()
            try:
                more = self._turn()
            except Exception as error:  # whatever it is, the work has to go on
                self._record(error)
                if last:
                    return
                self._stopping.wait(min(self._longest, 0.5 * 2**failures))
                failures += 1
            else:
                self.problem, failures = None, 0
                if not more:
                    self._stopping.set()
                    return

    def _record(self, error: Exception) -> None:
        expected = isinstance(error, PalateError)
        problem = str(error) if expected else f"{type(error).__name__}: {error}"
        if not expected and problem != self.problem:
            traceback.print_exception(error)  # in the log of the Space
        self.problem = problem


def note_trouble(problem: str) -> None:
    """Show what keeps the current thread waiting until its turn ends, if it is supervised."""
    thread = threading.current_thread()
    if isinstance(thread, Supervised):
        thread.problem = problem


def _missing(error: ImportError) -> str | None:
    """Return what the error means and what to type; None if palate needs no such package."""
    package = (error.name or "").partition(".")[0]
    package = MODULES.get(package, package)
    extras = [m for line in _requirements() if (m := REQUIREMENT.match(line))]
    extra = next((m for m in extras if m["name"].replace("-", "_") == package), None)
    if extra is None:
        return None
    if isinstance(error, ModuleNotFoundError) and "." not in str(error.name):
        return (
            f"This needs the package {extra['name']}, which this Python lacks. Install it with:"
            f" pip install 'palate[{extra['extra']}]'"
        )
    why = re.sub(r" \(.*\)", "", str(error))
    return (
        f"{package} {version(extra['name'])} is not the version that palate needs: {why}. Install"
        f" one that fits: pip install '{extra['name']}{extra['range'].strip()}'"
    )


def _requirements() -> list[str]:
    try:
        return requires("palate") or []
    except PackageNotFoundError:  # a job's own copy of palate, whose packages came with it
        return []
