"""What the commands share: the words of their command lines, and where they print."""

from pathlib import Path
from typing import Annotated

import tyro
from rich.console import Console

Id = Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="OWNER/NAME")]
Source = Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="FILE")]
Column = Annotated[str | None, tyro.conf.arg(metavar="COLUMN", help_behavior_hint="")]
Words = Annotated[str | None, tyro.conf.arg(metavar="TEXT", help_behavior_hint="")]
File = Annotated[Path | None, tyro.conf.arg(metavar="FILE", help_behavior_hint="")]
Folder = Annotated[Path | None, tyro.conf.arg(metavar="FOLDER", help_behavior_hint="")]
AsJson = Annotated[bool, tyro.conf.arg(name="json")]
console = Console(highlight=False, soft_wrap=True)


def show_status(project) -> None:
    from palate.report import status as loop

    console.print(loop.picture(project, loop.steps(project)))
