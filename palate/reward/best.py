"""Best of n: a model writes n answers to each eval prompt, and the reward keeps one.

The choice moves the model by at most log n - (n - 1) / n nats an answer: A. Beirami et al.,
"Theoretical guarantees on the best-of-n alignment policy" (2024).
"""

import math
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial

import numpy as np
from rich.console import Console

from palate.core.errors import PalateError, UsageError, is_out_of_memory
from palate.core.markdown import count
from palate.core.project import Project
from palate.core.schema import BEST_OF, Candidate, Prompt
from palate.generate import models, window
from palate.generate.completions import eval_prompts
from palate.generate.generation import Completion, Sampling, complete, groups_of, seed_of
from palate.generate.saving import Batch, save_batches
from palate.reward.config import BestArguments, check_best
from palate.reward.record import RewardRecord
from palate.reward.scoring import Judge, Judges, reward_lines, rewards_of
from palate.terminal.console import PlainConsole


@dataclass
class Curve:
    """What n brings: score and length of the best of the first n answers, a row per prompt."""

    n: int
    scores: list[np.ndarray] = field(default_factory=list)
    lengths: list[np.ndarray] = field(default_factory=list)
    cut: int = 0

    def add(self, written: "Written") -> None:
        self.scores.append(written.scores)
        self.lengths.append(np.array([len(text) for text in written.texts]))
        self.cut += sum(not c.ended for c in written.completions)

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
    reward = rewards_of(args.reward, project)
    for line in reward_lines(reward):
        console.print(line)
    base = models.find(args.model or project.settings.base_model)
    say_other_base(console, reward.run, base)
    sampling = Sampling(args.temperature, args.top_p, args.max_new_tokens)
    revision = f"{BEST_OF}{args.n}.{base.revision[:12]}.{reward.revision[:12]}"
    settings = {**asdict(sampling), "seed": args.seed, "n": args.n}
    there = existing(project, reward.repo, revision, settings)
    todo = sum(p.id not in there for p in prompts)
    console.print(
        f"best of {args.n} by {reward.repo} at {reward.revision[:7]}, written by {base.repo} at"
        f" {base.revision[:7]}: {count(todo, 'prompt')} to answer"
    )
    if todo:
        curve = Curve(args.n)
        plan = Plan(args.n, args.batch_size, sampling, args.seed)
        parts = Writer(models.load(base), reward.load(), plan).write(prompts, there)
        candidate = partial(
            Candidate.of,
            model=reward.repo,
            revision=revision,
            sampling=settings,
            round=project.settings.round,
        )
        batches = _best(parts, curve, candidate)
        save_batches(console, project.id, batches, name="answers", unit="prompts", total=todo)
        console.print(f"On {count(len(curve.scores), 'prompt')}, the best of the first n answers:")
        for line in curve.lines():
            console.print(line)
        console.print(f"  {curve.cut:,} of {args.n * todo:,} answers cut, none left out")
    console.print(
        'To compare it blind with base and DPO, set compare = "all" in palate.toml. Next: palate'
        f" completions {project.id}, then: palate evaluate {project.id}"
    )


def _best(
    parts: Iterable[list["Written"]], curve: Curve, candidate: Callable[[str, str], Candidate]
) -> Iterator[Batch]:
    """Yield the answer with the highest score to each prompt; `curve` takes in all answers."""
    for part in parts:
        rows = []
        for w in part:
            curve.add(w)
            rows.append(candidate(w.prompt.id, w.texts[int(w.scores.argmax())]))
        yield Batch(rows, len(rows))


def say_other_base(console: Console, run: RewardRecord, base: models.Source) -> None:
    """Say where the reward was made from another model than the one that writes."""
    if (base.base or base).repo != run.base_model:
        console.print(f"  the reward was made from {run.base_model}, {base.repo} writes")


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


@dataclass(frozen=True)
class Plan:
    """How many answers to a prompt are written, how many at once, and how they are drawn."""

    n: int
    batch_size: int
    sampling: Sampling
    seed: int


@dataclass(frozen=True)
class Written:
    """What was written to a prompt, and the score of each answer."""

    prompt: Prompt
    completions: list[Completion]
    scores: np.ndarray

    @property
    def texts(self) -> list[str]:
        return [c.text for c in self.completions]


@dataclass(frozen=True)
class Writer:
    """Writes n answers to each prompt, several prompts in a batch, and lets the reward score."""

    loaded: models.Loaded
    judge: Judge | Judges
    plan: Plan

    def write(self, prompts: Sequence[Prompt], there: Collection[str]) -> Iterator[list[Written]]:
        """Yield what is written, batch by batch; prompts whose ids are `there` have it already."""
        window.check(self.loaded, [p for p in prompts if p.id not in there])
        for group in groups_of(prompts, self.plan.n, self.plan.batch_size):
            if part := [p for p in group if p.id not in there]:
                yield self._written(part)

    def _written(self, prompts: Sequence[Prompt]) -> list[Written]:
        n = self.plan.n
        tasks = [(p, i) for p in prompts for i in range(n)]
        completions: list[Completion] = []
        for start in range(0, len(tasks), self.plan.batch_size):
            completions += self._complete(tasks[start:][: self.plan.batch_size])
        scores = self.judge.scores([p.prompt for p, _ in tasks], [c.text for c in completions])
        return [
            Written(p, completions[k * n :][:n], scores[k * n :][:n]) for k, p in enumerate(prompts)
        ]

    def _complete(self, tasks: Sequence[tuple[Prompt, int]]) -> list[Completion]:
        """Return the answers; a prompt's first is what `palate completions` takes for the seed."""
        seeds = [seed_of(self.plan.seed, p.id, i) for p, i in tasks]
        try:
            return complete(self.loaded, [p.prompt for p, _ in tasks], seeds, self.plan.sampling)
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            if len(tasks) == 1:
                raise PalateError(
                    "Memory ran out on a single answer. Run again with a lower --max-new-tokens."
                ) from None
        half = len(tasks) // 2
        return [*self._complete(tasks[:half]), *self._complete(tasks[half:])]
