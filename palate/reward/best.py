"""Best of n: a model writes n answers to each eval prompt, and the reward keeps one.

The choice moves the model by at most log n - (n - 1) / n nats an answer: A. Beirami et al.,
"Theoretical guarantees on the best-of-n alignment policy" (2024).
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from palate.core import hub
from palate.core.errors import PalateError, UsageError
from palate.core.markdown import count
from palate.core.project import Project
from palate.core.schema import BEST_OF, Candidate, Message, Prompt
from palate.generate import models
from palate.generate.completions import eval_prompts
from palate.generate.generation import Completion, Sampling, complete, seed_of
from palate.generate.saving import Batch, save_batches
from palate.reward import classifier, features, record
from palate.reward.config import BestArguments, check_best
from palate.reward.record import RewardRecord
from palate.terminal.console import PlainConsole


@dataclass(frozen=True)
class Judge:
    """A reward model in memory."""

    model: Any
    tokenizer: Any

    @classmethod
    def load(cls, source: models.Source) -> "Judge":
        """Load it by plain transformers. Raises UsageError where its tokenizer is another's."""
        model, tokenizer = classifier.load(source.folder)
        known = model.get_input_embeddings().num_embeddings
        if len(tokenizer) > known:
            raise UsageError(
                f"The tokenizer of {source.repo} has {len(tokenizer):,} tokens, and its model knows"
                f" {known:,}: it is another model's. Make the reward again with: palate reward"
            )
        return cls(model, tokenizer)

    def scores(self, prompts: Sequence[list[Message]], texts: Sequence[str]) -> np.ndarray:
        chats = [
            [*prompt, Message(role="assistant", content=text)]
            for prompt, text in zip(prompts, texts, strict=True)
        ]
        tokens = features.chats(self.tokenizer, chats)
        return classifier.scores(self.model, self.tokenizer.pad_token_id, tokens)


@dataclass
class Curve:
    """What n brings: score and length of the best of the first n answers, a row per prompt."""

    n: int
    scores: list[np.ndarray] = field(default_factory=list)
    lengths: list[np.ndarray] = field(default_factory=list)

    def add(self, scores: np.ndarray, texts: Sequence[str]) -> None:
        self.scores.append(scores)
        self.lengths.append(np.array([len(text) for text in texts]))

    def lines(self) -> list[str]:
        """Return a line for each power of two up to n, and for n."""
        sizes = sorted({2**k for k in range(self.n.bit_length()) if 2**k <= self.n} | {self.n})
        table = [f"  {'n':>5}  {'reward':>7}  {'characters':>10}  {'KL, at most':>11}"]
        for n in sizes:
            best = [int(s[:n].argmax()) for s in self.scores]
            score = np.mean([s[b] for s, b in zip(self.scores, best, strict=True)])
            length = np.mean([x[b] for x, b in zip(self.lengths, best, strict=True)])
            table.append(f"  {n:>5}  {score:>+7.2f}  {length:>10.0f}  {divergence(n):>11.2f}")
        return table


def divergence(n: int) -> float:
    """Return the most by which the best of n can differ from the model, in nats an answer."""
    return math.log(n) - (n - 1) / n


def write_best(args: BestArguments) -> None:
    """Write what is missing until every eval prompt has the best of `n` answers."""
    check_best(args)
    console = PlainConsole()
    project = Project.load(args.project)
    prompts = eval_prompts(project)
    run, reward = find_reward(args, project)
    base = models.find(args.model or project.settings.base_model)
    if (base.base or base).repo != run.base_model:
        console.print(f"  {reward.repo} was made from {run.base_model}, {base.repo} writes")
    sampling = Sampling(args.temperature, args.top_p, args.max_new_tokens)
    revision = f"{BEST_OF}{args.n}.{base.revision[:12]}.{reward.revision[:12]}"
    settings = {**asdict(sampling), "seed": args.seed, "n": args.n}
    there = existing(project, reward.repo, revision, settings)
    todo = [p for p in sorted(prompts, key=lambda p: len(p.text)) if p.id not in there]
    console.print(
        f"best of {args.n} by {reward.repo} at {reward.revision[:7]}, written by {base.repo} at"
        f" {base.revision[:7]}: {count(len(todo), 'prompt')} to answer"
    )
    if todo:
        curve = Curve(args.n)
        writer = Writer(models.load(base), Judge.load(reward), args, sampling, curve)
        candidates = writer.batches(todo, project, reward.repo, revision, settings)
        name = "answers"
        save_batches(console, project.id, candidates, name=name, unit="prompts", total=len(todo))
        console.print(f"On {count(len(curve.scores), 'prompt')}, the best of the first n answers:")
        for line in curve.lines():
            console.print(line)
        console.print(f"  {writer.cut:,} of {args.n * len(todo):,} answers cut, none left out")
    console.print(
        'To compare it blind with base and DPO, set compare = "all" in palate.toml. Next: palate'
        f" completions {project.id}, then: palate evaluate {project.id}"
    )


def find_reward(args: BestArguments, project: Project) -> tuple[RewardRecord, models.Source]:
    """Return the reward and its record. Raises UsageError where there is none."""
    name = args.reward or f"{project.reward_repo}@round-{project.settings.round}"
    repo = name.partition("@")[0]
    if not hub.exists(repo, "model"):
        raise UsageError(f"There is no reward {repo} yet. Make it with: palate reward {project.id}")
    source = models.find(name)
    file: Path = source.folder / "run.json"
    run = record.load(source.folder) if file.exists() else None
    if not isinstance(run, RewardRecord):
        raise UsageError(
            f"{name} is no reward that palate made. Make one with: palate reward {project.id}"
        )
    return run, source


def existing(
    project: Project, repo: str, revision: str, settings: dict[str, int | float]
) -> set[str]:
    """Return the prompts that have this contestant's answer; raise if it was sampled otherwise."""
    own = [c for c in project.candidates if (c.model, c.revision) == (repo, revision)]
    for c in own:
        if c.sampling != settings:
            values = {k.replace("_", "-"): v for k, v in (c.sampling or {}).items()}
            flags = " ".join(f"--{k} {v}" for k, v in values.items())
            raise UsageError(
                f"{project.id} has answers of this contestant with other settings, and all must be"
                f" sampled alike. Run with: {flags}"
            )
    return {c.prompt_id for c in own}


@dataclass
class Writer:
    """Writes n answers to a prompt in batches, and keeps the one with the highest score."""

    loaded: models.Loaded
    judge: Judge
    args: BestArguments
    sampling: Sampling
    curve: Curve
    cut: int = 0

    def batches(
        self,
        prompts: Sequence[Prompt],
        project: Project,
        repo: str,
        revision: str,
        settings: dict[str, int | float],
    ) -> Iterator[Batch]:
        for prompt in prompts:
            texts = [c.text for c in self.answers(prompt)]
            scores = self.judge.scores([prompt.prompt] * len(texts), texts)
            self.curve.add(scores, texts)
            best = Candidate.of(
                prompt.id,
                texts[int(scores.argmax())],
                model=repo,
                revision=revision,
                sampling=settings,
                round=project.settings.round,
            )
            yield Batch([best], 1)

    def answers(self, prompt: Prompt) -> list[Completion]:
        """Return n answers; the first is what `palate completions` takes for the same seed."""
        import torch

        seeds = [seed_of(self.args.seed, prompt.id, i) for i in range(self.args.n)]
        found: list[Completion] = []
        for start in range(0, len(seeds), self.args.batch_size):
            batch = seeds[start:][: self.args.batch_size]
            try:
                found += complete(self.loaded, [prompt.prompt] * len(batch), batch, self.sampling)
            except torch.OutOfMemoryError:
                raise PalateError(
                    f"Memory ran out on {len(batch)} answers at once. Run again with a lower"
                    " --batch-size; --n can stay as it is."
                ) from None
        self.cut += sum(not c.ended for c in found)
        return found
