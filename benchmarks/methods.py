"""Every method on the same labels, measured alike: five folds by prompt, a table at the end.

    python benchmarks/methods.py --model FOLDER [--data pairs.csv] [--workers 8] [--minutes 6]
                                 [--only sft,dpo] [--folds 0,1] [--pairs N] [--out methods.jsonl]
    python benchmarks/methods.py --table [--out methods.jsonl] [--json]

On one H100 with 16 cores: `python benchmarks/methods.py --model smollm2 --workers 14 --minutes 5
--out $OUT/methods.jsonl`. FOLDER holds SmolLM2-135M-Instruct (`python -m palate.demo.smollm2
FOLDER` makes it). Three folds train, with palate's own trainers and defaults, all weights. On the
prompts of a fourth each model writes four answers with equal seeds, at temperature 1. They are
scored by a reward of the labels of that fold and of the fifth, which no method knows. Folds come
one after the other, and each line is appended as it is done. What --out holds is not run again, so
the same command continues; after --minutes nothing begins. Without --workers, one process.
"""

import argparse
import json
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from support import folds, journal, measured, methods_table, titles, trainings
from support.measured import World
from support.trainings import PROJECT

from palate.core.schema import Prompt
from palate.generate.generation import Completion, Sampling
from palate.generate.models import Loaded
from palate.reward.divergence import divergences
from palate.train.rows.data import Answer, Rows, preferred_answers

FEW = 100  # pairs that people answered, where a judge answers the others
N, REJECTION_N = 16, 8  # answers of which a reward chooses one


@dataclass(frozen=True)
class Tuned:
    """What a method gave: a model, and of how many answers the train labels' reward keeps one."""

    loaded: Loaded
    best_of: int = 1
    facts: tuple[tuple[str, float], ...] = ()


Method = Callable[[World], Tuned]


def base(world: World) -> Tuned:
    return Tuned(world.base, facts=(("held_accuracy", world.held_accuracy),))


def sft(world: World) -> Tuned:
    rows = preferred_answers(PROJECT, Rows(world.split.train, []))
    return Tuned(trainings.on_answers(world.model, rows.train))


def hindsight(world: World) -> Tuned:
    from palate.train.rows.hindsight import BETTER, hindsight_rows

    rows = hindsight_rows(PROJECT, Rows(world.split.train, []))
    loaded = trainings.on_answers(world.model, rows.train, hindsight=True)
    return Tuned(replace(loaded, condition=BETTER))


def by_loss(**changes: Any) -> Method:
    """Return `palate train` with these arguments."""

    def method(world: World) -> Tuned:
        return Tuned(trainings.on_pairs(world.model, world.split.train, **changes))

    return method


def sft_then_dpo(world: World) -> Tuned:
    return Tuned(trainings.on_pairs(world.model, world.split.train, sft(world).loaded))


def kto(world: World) -> Tuned:
    return Tuned(trainings.on_single_answers(world.model, world.split.train))


def dpo_few(world: World) -> Tuned:
    people, _ = trainings.some(world.split.train, FEW)
    return Tuned(trainings.on_pairs(world.model, people))


def ai_dpo(world: World) -> Tuned:
    parts = trainings.some(world.split.train, FEW)
    loaded, facts = trainings.with_judge(world.model, world.base, *parts)
    return Tuned(loaded, facts=tuple(facts.items()))


def best_of_16(world: World) -> Tuned:
    return Tuned(world.base, best_of=N)


@dataclass(frozen=True)
class ProbeJudge:
    """The reward of the train labels, as `palate sft --from best` asks a reward model."""

    world: World

    def scores(self, prompts: Sequence[Any], texts: Sequence[str]) -> np.ndarray:
        return measured.scores(self.world.base, self.world.own, prompts, texts)


def rejection(world: World) -> Tuned:
    """SFT on the best of answers to the train prompts: one round of `palate sft --from best`."""
    from palate.generate.models import Source
    from palate.reward.best import Plan, Writer
    from palate.reward.written import Line

    size = measured.WRITTEN_AT_ONCE[world.base.model.device.type]
    sampling = Sampling(0.7, 0.95, measured.SAMPLING.max_new_tokens)
    writer: Any = Writer(world.base, ProbeJudge(world), Plan(REJECTION_N, size, sampling, 0))
    prompts = list({r.prompt_id: Prompt.of(r.prompt) for r in world.split.train}.values())
    source = Source("me/smollm2", "0" * 40, world.model, folds.PARAMETERS)
    best = [
        Line.of(0, source, written).best(written.prompt.prompt)
        for part in writer.write(prompts, ())
        for written in part
    ]
    answers = [answer for answer in best if isinstance(answer, Answer)]
    if not answers:
        raise RuntimeError("the model ended no answer, so there is none to learn")
    return Tuned(trainings.on_answers(world.model, answers), facts=(("learned", len(answers)),))


def rl(world: World) -> Tuned:
    loaded, facts = trainings.against_reward(world.model, world.base, world.split.train)
    return Tuned(loaded, facts=tuple(facts.items()))


def sft_then_rl(world: World) -> Tuned:
    """RL from SFT's model, as in InstructGPT and as `palate compare` does where sft is compared."""
    with tempfile.TemporaryDirectory() as folder:
        model = trainings.save(sft(world).loaded, Path(folder))
        loaded, facts = trainings.against_reward(model, world.base, world.split.train)
    return Tuned(loaded, facts=tuple(facts.items()))


# in the order in which a fold runs them: those that take longest come first
METHODS: dict[str, Method] = {
    "rl": rl,
    "sft then rl": sft_then_rl,
    "hindsight": hindsight,
    "sft then dpo": sft_then_dpo,
    "kto": kto,
    "dpo": by_loss(),
    "ipo": by_loss(loss="ipo"),
    "orpo": by_loss(loss="orpo"),
    "simpo": by_loss(loss="simpo", beta=2.0),
    "cpo": by_loss(loss="cpo"),
    "ai-dpo": ai_dpo,
    "rejection": rejection,
    "best-of-16": best_of_16,
    "sft": sft,
    "dpo-100": dpo_few,
    "base": base,
}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--model", type=Path)
    parser.add_argument("--data", type=Path, default=titles.DATA)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--minutes", type=float, default=180)
    parser.add_argument("--only", default=",".join(METHODS))
    parser.add_argument("--folds", default="0,1,2,3,4")
    parser.add_argument("--pairs", type=int)
    parser.add_argument("--out", type=Path, default=Path("methods.jsonl"))
    parser.add_argument("--table", action="store_true")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    names = arguments.only.split(",")
    if unknown := set(names) - set(METHODS):
        parser.error(f"expected methods of {'; '.join(METHODS)}, found {', '.join(unknown)}")
    if not arguments.table:
        for path in (arguments.model, arguments.data):
            if not path or not path.exists():
                parser.error(f"{path} does not exist. Name --model FOLDER and --data FILE.")
        tasks = [
            {"method": name, "fold": number, "pairs": arguments.pairs}
            for number in map(int, arguments.folds.split(","))
            for name in METHODS
            if name in names
        ]
        one = partial(run, arguments.model, arguments.data)
        journal.run_missing(tasks, one, arguments.out, arguments.workers, arguments.minutes)
    lines = methods_table.lines(journal.read(arguments.out), list(METHODS))
    print(json.dumps(lines, default=vars) if arguments.json else methods_table.table(lines))


def run(model: Path, data: Path, task: journal.Task) -> dict[str, Any]:
    """Return what a method gives on a fold."""
    world = measured.world(model, data, task["fold"], task["pairs"])
    journal.reset_peak()
    began = time.monotonic()
    tuned = METHODS[task["method"]](world)
    taken = {"train_seconds": round(time.monotonic() - began, 1), "peak_gb": journal.peak_gb()}
    test = world.split.test
    likelihoods = [measured.log_likelihoods(x, test) for x in (tuned.loaded, world.base)]
    likelihood, before = (x[:, 0] - x[:, 1] for x in likelihoods)
    return {
        **taken, **dict(tuned.facts),
        "train_pairs": len(world.split.train),
        "prompts": [r.prompt_id for r in test],
        "likelihood_leads": np.round(likelihood, 4).tolist(),
        "ratio_leads": np.round(likelihood - before, 4).tolist(),
        "reward_leads": np.round(world.own_leads, 4).tolist(),
        "answers": written(world, tuned),
    }  # fmt: skip


def written(world: World, tuned: Tuned) -> list[list[Any]]:
    """Return prompt, text, end, reward of train labels, held-out reward and KL of each answer."""
    prompts, slots = world.prompts, measured.ANSWERS
    tasks = [(p, i) for p in prompts for i in range(slots)]
    drawn = [(p, i + slots * k) for p, i in tasks for k in range(tuned.best_of)]
    found = measured.write(tuned.loaded, drawn, prompts)
    texts, asked = [c.text for c in found], [prompts[p] for p, _ in drawn]
    own, held = (measured.scores(world.base, r, asked, texts) for r in (world.own, world.held))
    shape = (len(tasks), tuned.best_of)
    kept = own.reshape(shape).argmax(1) + tuned.best_of * np.arange(len(tasks))
    answers: list[Completion] = [found[k] for k in kept]
    apart = [0.0] * len(answers)
    if tuned.loaded is not world.base:
        asked = [prompts[p] for p, _ in tasks]
        apart = divergences(tuned.loaded, world.base, asked, answers)
    figures = zip(tasks, answers, own[kept], held[kept], apart, strict=True)
    return [
        [p, c.text, c.ended, round(float(x), 4), round(float(y), 4), round(kl, 3)]
        for (p, _), c, x, y, kl in figures
    ]


if __name__ == "__main__":
    main()
