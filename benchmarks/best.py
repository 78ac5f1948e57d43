"""How often the best of 16 beats the base model in the eyes of a reward that did not choose.

    python benchmarks/best.py [--model FOLDER] [--data pairs.csv] [--prompts 40] [--out FOLDER]

FOLDER holds SmolLM2-135M-Instruct (`python -m palate.demo.smollm2 FOLDER` makes it); without
--model, the installed package makes one. The model writes 17 answers to each of the first prompts
of five folds. One answer after the other is the base model's, and a reward chooses the best of the
16 others. The reward of the prompt's fold chooses, which learned from the four other folds, and
that of the next fold measures, which also knows labels on this prompt's other texts. In a second
table, each of the two learned from two of the four other folds, so that they share no labels. What
--out holds is not computed again, so the same command continues.
"""

import argparse
import json
import tempfile
from dataclasses import dataclass
from itertools import chain, islice, zip_longest
from pathlib import Path
from typing import Any

import numpy as np
from support import folds, titles

from palate.core.rates import Rate
from palate.core.schema import Message
from palate.demo import smollm2
from palate.generate.generation import Sampling, complete, seed_of
from palate.reward import features, probe
from palate.reward.rows import Answers

N = 16
AT_ONCE = 2  # prompts in a batch
PART = 85  # answers whose features are kept together
LEARNED = {  # folds that the reward that chooses, and the one that measures, learned from
    "of the prompt's fold and of the next": ((1, 2, 3, 4), (0, 2, 3, 4)),
    "that share no labels": ((1, 2), (3, 4)),
}
SIZES = (2, 4, 8, 16)
SAMPLING = Sampling(0.7, 0.95, 32)


@dataclass(frozen=True)
class Prompt:
    """A prompt, the fold that it is in, and what the model wrote."""

    id: str
    fold: int
    texts: list[str]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--model", type=Path)
    parser.add_argument("--data", type=Path, default=titles.DATA)
    parser.add_argument("--prompts", type=int, default=40)
    parser.add_argument("--out", type=Path, default=Path("best"))
    arguments = parser.parse_args()
    arguments.out.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        if not arguments.model:
            arguments.model = Path(folder)
            smollm2.save_model(arguments.model)
        measure(arguments)


def measure(arguments: argparse.Namespace) -> None:
    rows = folds.preferences(arguments.data)
    loaded = folds.load(arguments.model)
    messages = {r.prompt_id: r.prompt for r in rows}
    numbers = {r.prompt_id: f.number for f in folds.folds(rows) for r in f.rows.test[f.choosing :]}
    wanted = first(numbers, arguments.prompts)
    texts = written(loaded, messages, wanted, arguments.out / "answers.jsonl")
    prompts = [Prompt(p, numbers[p], texts[p]) for p in wanted]
    answers = Answers.of(rows)
    known = cached(arguments.out, "labelled", loaded, answers.chats, answers.prompts)
    chats: list[list[Message]] = [
        [*messages[p.id], Message(role="assistant", content=t)] for p in prompts for t in p.texts
    ]
    new = cached(arguments.out, "written", loaded, chats, [p.id for p in prompts for _ in p.texts])
    pairs, of_row = answers.pairs(rows, "off"), np.array([numbers[r.prompt_id] for r in rows])
    for name, both in LEARNED.items():
        rewards = {
            fold: [
                reward(known, pairs.part(np.isin(of_row, _folds(fold, steps)))) for steps in both
            ]
            for fold in range(folds.FOLDS)
        }
        scores = [
            np.array([r.scores({0: new[k * (N + 1) :][: N + 1]}) for r in rewards[p.fold]])
            for k, p in enumerate(prompts)
        ]
        print(f"\nrewards {name}, {len(prompts)} prompts\n")
        show(prompts, scores)


def first(numbers: dict[str, int], wanted: int) -> list[str]:
    """Return that many prompts, in turn from each fold."""
    parts = [[p for p, fold in numbers.items() if fold == k] for k in range(folds.FOLDS)]
    return list(islice((p for p in chain(*zip_longest(*parts)) if p), wanted))


def written(
    loaded: Any, messages: dict[str, list[Message]], wanted: list[str], file: Path
) -> dict[str, list[str]]:
    """Return what the model writes to each prompt; add to the file what it lacks."""
    lines = file.read_text("utf-8").split("\n")[:-1] if file.exists() else []
    texts = dict(json.loads(line) for line in lines)
    todo = [p for p in wanted if p not in texts]
    for start in range(0, len(todo), AT_ONCE):
        batch = todo[start:][:AT_ONCE]
        tasks = [(p, i) for p in batch for i in range(N + 1)]
        seeds = [seed_of(0, p, i) for p, i in tasks]
        found = complete(loaded, [messages[p] for p, _ in tasks], seeds, SAMPLING)
        for k, p in enumerate(batch):
            texts[p] = [c.text for c in found[k * (N + 1) :][: N + 1]]
            with file.open("a", encoding="utf-8") as output:
                output.write(json.dumps([p, texts[p]]) + "\n")
    return texts


def cached(
    folder: Path, name: str, loaded: Any, chats: list[list[Message]], prompts: list[str]
) -> np.ndarray:
    """Return the features of these answers on the layer that a reward reads."""
    layer = features.middle(loaded.model.config)
    parts = []
    for start in range(0, len(chats), PART):
        part = slice(start, min(start + PART, len(chats)))
        file = folder / f"{name}-{part.start}-{part.stop}.npy"
        if not file.exists():
            texts = features.chats(loaded.tokenizer, chats[part])
            np.save(file, features.extract(loaded, texts, prompts[part], [layer])[layer])
        parts.append(np.load(file))
    return np.concatenate(parts)


def reward(known: np.ndarray, pairs: probe.Pairs) -> probe.Probe:
    """Return the probe of these pairs, its penalty chosen on folds of them."""
    return probe.fitted({0: known}, pairs, probe.choose({0: known}, pairs, 1))


def _folds(fold: int, steps: tuple[int, ...]) -> list[int]:
    return [(fold + step) % folds.FOLDS for step in steps]


def show(prompts: list[Prompt], scores: list[np.ndarray]) -> None:
    """Print how often the best of n beats an answer that was not among the n."""
    print("| n | beats an answer of the base model | lead, deviations |\n|---:|---:|---:|")
    spread = float(np.mean([s[1].std() for s in scores]))
    for n in SIZES:
        wins, ids, leads = [], [], []
        for prompt, (chooses, measures) in zip(prompts, scores, strict=True):
            for base in range(N + 1):
                others = [i for i in range(N + 1) if i != base][:n]
                best = max(others, key=lambda i: chooses[i])
                wins.append(bool(measures[best] > measures[base]))
                leads.append(float(measures[best] - measures[base]) / spread)
                ids.append(prompt.id)
        rate = Rate.of(wins, ids, chance=0.5)
        low, high = rate.interval or (0.0, 1.0)
        share = f"{100 * (rate.rate or 0):.1f}% ({100 * low:.1f}–{100 * high:.1f}%)"
        print(f"| {n} | {share} | {np.mean(leads):+.2f} |")
    agreed = [np.corrcoef(s)[0, 1] for s in scores]
    print(f"\ncorrelation of the two rewards within a prompt: {np.mean(agreed):.2f}")


if __name__ == "__main__":
    main()
