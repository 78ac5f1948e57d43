"""A run of candidates that several jobs share: each takes groups of prompts that no other takes.

Each shard commits a record together with its rows:

shards/<key>/3-of-16.json   palate's version, the project's commit at the start of the run, the
                            run's settings, and the numbers of the finished groups

`key` is a digest of the settings that decide the texts. All shards start from the commit that the
first one started from, so what a shard writes depends neither on the others nor on what was done
before it was killed.
"""

import json
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, replace

from palate import __version__
from palate.core import hub, typed
from palate.core.errors import UsageError
from palate.core.project import Project
from palate.core.schema import Prompt, digest

MAX_TRIES = 50  # to join, while others join and people label
Divide = Callable[[Project], list[list[Prompt]]]


@dataclass(frozen=True)
class Shard:
    """One of `of` equal parts of a run, counted from 1."""

    number: int
    of: int

    @classmethod
    def parse(cls, text: str) -> "Shard":
        """Return the shard that `3/16` names, or raise UsageError."""
        match = re.fullmatch(r"(\d{1,9})/(\d{1,9})", text, re.ASCII)
        shard = cls(int(match[1]), int(match[2])) if match else None
        if shard is None or not 1 <= shard.number <= shard.of:
            raise UsageError(
                f"There is no shard {text!r}; expected one such as 3/16, from 1/16 to 16/16."
            )
        return shard

    def takes(self, group: int) -> bool:
        """Tell whether a group is this shard's. Neighbours are similar in length, so deal them."""
        return group % self.of == self.number - 1

    def __str__(self) -> str:
        return f"{self.number}/{self.of}"


@dataclass(frozen=True)
class Record:
    """What a shard commits about its run."""

    palate: str
    revision: str  # the project's commit at the start of the run
    prompts: str  # a digest
    groups: int
    settings: dict[str, object]
    done: list[int]  # numbers of finished groups


class Share:
    """A job's part of a run: all of it, or the groups of one shard that no shard has finished.

    `start` is the project at the start of the run.
    """

    def __init__(
        self,
        start: Project,
        shard: Shard | None = None,
        record: tuple[str, Record] | None = None,
        done: Collection[int] = (),
    ):
        self.start, self._shard, self._record, self._done = start, shard, record, done

    def takes(self, group: int) -> bool:
        return self._shard is None or self._shard.takes(group)

    def left(self, group: int) -> bool:
        """Tell whether the group is ours and not finished."""
        return self.takes(group) and group not in self._done

    def after(self, group: int) -> dict[str, str]:
        """Return the record to commit together with the group's candidates, by its path."""
        if self._record is None:
            return {}
        path, record = self._record
        self._record = path, replace(record, done=sorted({*record.done, group}))
        return {path: _text(self._record[1])}


def join(project_id: str, shard: Shard, settings: Mapping[str, object], divide: Divide) -> Share:
    """Return the shard's share of the run with these settings; the first shard starts the run.

    Raises UsageError if another version of palate writes the run's other shards.
    """
    folder = f"shards/{digest(dict(settings))}"
    path = f"{folder}/{shard.number}-of-{shard.of}.json"

    def begin(sha: str, paths: list[str]) -> hub.Change[Share]:
        now = Project.at(project_id, sha, paths)
        records = _read(now, folder)
        stale = list(records) if _over(records, _names(divide(now))) else []
        known = {} if stale else records
        _check_version(list(known.values()), shard)
        first = next(iter(known.values()), None)
        start = Project.load(project_id, first.revision) if first else now
        groups = divide(start)
        done = {n for record in known.values() for n in record.done}
        if path in known:
            return hub.Change(Share(start, shard, (path, known[path]), done))
        record = Record(
            __version__, start.revision, _names(groups), len(groups), dict(settings), done=[]
        )
        return hub.Change(
            Share(start, shard, (path, record), done),
            f"Begin shard {shard} of a run of candidates, palate {__version__}",
            {path: _text(record)},
            [p for p in stale if p != path],
        )

    # against the commit that was read, so that no two begin at different ones
    return hub.update(project_id, "dataset", begin, tries=MAX_TRIES)[1]


def _read(project: Project, folder: str) -> dict[str, Record]:
    """Return the records of a run by path."""
    paths = [p for p in project.files if p.startswith(f"{folder}/")]
    files = hub.fetch(project.id, "dataset", project.revision, paths) if paths else []
    return {
        path: typed.read(Record, json.loads(file.read_text("utf-8")), f"{project.id}/{path}")
        for path, file in zip(paths, files, strict=True)
    }


def _over(records: Mapping[str, Record], prompts: str) -> bool:
    """Tell whether the run is finished and the project has other prompts now: a new one begins."""
    done = {n for record in records.values() for n in record.done}
    first = next(iter(records.values()), None)
    return first is not None and len(done) == first.groups and first.prompts != prompts


def _check_version(records: Sequence[Record], shard: Shard) -> None:
    others = sorted({r.palate for r in records} - {__version__})
    if others:
        raise UsageError(
            f"This run's other shards are written by palate {', '.join(others)}, and this is"
            f" palate {__version__}, whose texts may differ. Install the same for shard {shard}:"
            f" pip install palate=={others[0]}. Or begin another run with another --seed."
        )


def _names(groups: Sequence[Sequence[Prompt]]) -> str:
    return digest(*sorted(p.id for group in groups for p in group))


def _text(record: Record) -> str:
    return json.dumps(asdict(record), indent=2, sort_keys=True) + "\n"
