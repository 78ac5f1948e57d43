"""The arguments of `palate check`."""

from dataclasses import dataclass

from palate.terminal.flags import ModelRef, ProjectId, Tasks


@dataclass(frozen=True)
class CheckArguments:
    """The arguments of `palate check`."""

    project: ProjectId
    """Project, such as me/titles."""
    model: ModelRef = None
    """Tuned model. Default: the project's newest."""
    max_new_tokens: int = 160
    """Longest answer, in tokens. Longer answers are cut, for both models alike."""
    batch_size: int = 16
    """Answers written at once. Lower it when memory runs out."""
    seed: int = 0
    """Another seed gives other answers, for both models alike."""
    task: Tasks = ()
    """Task of lm-eval for both models, such as arc_easy; may be repeated. Needs lm-eval."""
