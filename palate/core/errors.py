"""What palate raises at its users.

    PalateError           something failed; exit code 1
    ├── UsageError        the command or its settings are wrong; exit code 2
    │   └── BadInput      a file's content is wrong: names file, row and field; exit code 2
    └── Unreachable       the Hub or Argilla does not answer, or refuses the token; exit code 1

Messages end in what to do next. The command line prints them without a traceback unless `--debug`.
"""


class PalateError(Exception):
    """Something failed in a way the user can act on."""

    exit_code = 1


class UsageError(PalateError):
    """The command, a flag or a setting is wrong."""

    exit_code = 2


class BadInput(UsageError):
    """A file or repo holds something other than what was expected.

    `row` counts from 1 as a person does; the header of a CSV is row 0.
    """

    def __init__(
        self, source: object, problem: str, *, row: int | None = None, field: str | None = None
    ):
        where = str(source)
        if row is not None:
            where += f", row {row}"
        if field is not None:
            where += f", field {field!r}"
        super().__init__(f"{where}: {problem}")


class Unreachable(PalateError):
    """A server does not answer, or does not accept the token."""
