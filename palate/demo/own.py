"""The demo with one's own labels: some of their prompts stay blind, for the comparison.

Nobody is simulated then: the labels are there, and the votes are for people to give.
"""

from dataclasses import dataclass, replace
from pathlib import Path

from palate.collect import importing, labels, pairs, tables
from palate.collect.columns import Columns
from palate.collect.importing import Imported
from palate.core import splits
from palate.core.errors import UsageError
from palate.core.project import Project, Settings
from palate.demo.base_models import BaseModel
from palate.demo.common import PROJECT, say

BLIND, MOST_BLIND = 4, 24  # one prompt in so many stays blind, at most so many
TEST = 0.15  # of the prompts
FEWEST = 12  # prompts: fewer leave too little to train, to test and to compare


@dataclass(frozen=True)
class OwnLabels:
    """A file of labels, and what its columns are."""

    file: Path
    columns: Columns

    def read(self) -> Imported:
        return labels.labels_of(pairs.read(tables.read(str(self.file)), self.columns))


def with_blind(new: Imported, seed: int = 0) -> Imported:
    """Return the import with some prompts as eval prompts, without what is known of them.

    Raises UsageError for too few prompts.
    """
    labelled = len({e.prompt_id for e in new.events})
    if labelled < FEWEST:
        raise UsageError(
            f"The demo takes labels on {FEWEST} prompts at least, and here are {labelled}: some"
            " train, some test, some stay blind for the comparison."
        )
    settings = replace(Settings(), test=TEST, eval=min(labelled // BLIND, MOST_BLIND), seed=seed)
    prompts = splits.assign(new.prompts, [], settings)
    blind = {p.id for p in prompts if p.split == "eval"}
    return replace(
        new,
        prompts=prompts,
        candidates=[c for c in new.candidates if c.prompt_id not in blind],
        events=[e for e in new.events if e.prompt_id not in blind],
    )


def make_project(own: OwnLabels, base: BaseModel, seed: int) -> Project:
    """Create the project from the labels, and say what is used for what."""
    everything = own.read()
    new = with_blind(everything, seed)
    blind = sum(p.split == "eval" for p in new.prompts)
    settings = replace(Settings(), base_model=base.repo, test=TEST, seed=seed)
    project = importing.add(PROJECT, new, f"Import {len(new.events)} labels", settings)
    left = len(everything.events) - len(new.events)
    say("labels", f"{len(new.events):,} of {own.file.name}; {left:,} more are on prompts that stay")
    say("", f"blind: {blind} prompts for the comparison")
    return project


def is_own(project: Project) -> bool:
    """Tell whether the demo's project was made from a person's labels."""
    return any(e.via == "import" for e in project.labels)
