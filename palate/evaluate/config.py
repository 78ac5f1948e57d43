"""The arguments of `palate judge`."""

from dataclasses import dataclass
from typing import Annotated

from palate.terminal.flags import Count, ProjectId, Text, Url, flag

ENDPOINT_KEY = "JUDGE_API_KEY"  # environment variable with the key of the server in --endpoint


@dataclass(frozen=True)
class JudgeArguments:
    """The arguments of `palate judge`."""

    project: ProjectId
    """Project, such as me/titles."""
    model: Annotated[str, flag("OWNER/NAME[@REVISION]")]
    """The judge: a model repo, or the name by which the endpoint knows its model."""
    endpoint: Url = None
    """Ask an OpenAI-compatible server (key: JUDGE_API_KEY). Default: the model runs here."""
    provider: Text = None
    """Ask an Inference Provider of Hugging Face, or auto. Default: the model runs here."""
    pairs: Count = None
    """Pairs to judge. Default: all."""
    batch_size: int = 8
    """Answers written at once by a model that runs here."""
