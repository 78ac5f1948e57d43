"""The arguments of `palate judge`."""

from dataclasses import dataclass
from typing import Annotated

import tyro

from palate.terminal.flags import Count, ProjectId, flag


@dataclass(frozen=True)
class JudgeArguments:
    """The arguments of `palate judge`."""

    project: ProjectId
    """Project, such as me/titles."""
    model: Annotated[str, flag("[PROVIDER:]OWNER/NAME[@REVISION]")]
    """The judge: a model repo, an Inference Provider's model, or what a server calls its model."""
    engine: Annotated[str, tyro.conf.arg(metavar="transformers|URL")] = "transformers"
    """What computes: transformers, or an OpenAI-compatible server (key: SERVER_API_KEY)."""
    labels: bool = False
    """Answer train pairs instead, for `palate train --ai`. They never count as people's labels."""
    principles: bool = False
    """Propose five rules for the taste from train labels instead, and test each on other labels."""
    aspect: Annotated[str | None, flag("NAME")] = None
    """Aspect of the project to judge. Needed where it has aspects."""
    pairs: Count = None
    """Pairs to judge, or labels to test each rule on. Default: all; of labels, 60."""
    batch_size: int = 8
    """Answers written at once by a model that runs here."""
