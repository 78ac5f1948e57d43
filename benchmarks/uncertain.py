"""What the order of questions is worth to a reward: recorded labels, replayed by each strategy.

    python benchmarks/uncertain.py [--model FOLDER] [--data pairs.csv] [--seeds 2]

FOLDER holds SmolLM2-135M-Instruct, as for `reward.py`. Five folds by prompt: the queue of
the label Space asks about the prompts of the other folds, the recorded label answers, and a probe
of the labels so far is measured on the fold. The penalty is fixed.
"""

import argparse
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from support import folds, titles

from palate.core.schema import Event, Pair, Preference
from palate.demo import smollm2
from palate.label.assignment import Queue
from palate.label.strategies import Random, Ranking, Strategy, Uncertain
from palate.reward import features, notes, probe
from palate.reward.rows import Answers

SIZES = (30, 60, 100, 150, 200, 300, 450, 600)
PENALTY = 3.0
LEVELS = (0.6, 0.62, 0.64)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--model", type=Path)
    parser.add_argument("--data", type=Path, default=titles.DATA)
    parser.add_argument("--seeds", type=int, default=2)
    arguments = parser.parse_args()
    rows = folds.preferences(arguments.data)
    if arguments.model:
        found = read(arguments.model, rows)
    else:
        with tempfile.TemporaryDirectory() as folder:
            smollm2.save_model(Path(folder))
            found = read(Path(folder), rows)
    show(replay(rows, found, arguments.seeds))


def read(model: Path, rows: Sequence[Preference]) -> np.ndarray:
    """Return the features of all answers, on the layer that a reward reads."""
    loaded, answers = folds.load(model), Answers.of(rows)
    texts = features.chats(loaded.tokenizer, answers.chats)
    layer = features.middle(loaded.model.config)
    return features.extract(loaded, texts, answers.prompts, [layer])[layer]


def replay(
    rows: Sequence[Preference], found: np.ndarray, seeds: int
) -> dict[tuple[str, int], list[float]]:
    """Return the accuracies on held-out prompts by strategy and number of labels."""
    answers = Answers.of(rows)
    pairs = answers.pairs(rows, "off")
    ids = [f"{place:05}" for place in range(len(answers.chats))]
    asked = [
        Pair.between(r.prompt_id, ids[x], ids[y])
        for r, x, y in zip(rows, pairs.first, pairs.second, strict=True)
    ]
    number = {pair.id: n for n, pair in enumerate(asked)}
    results: dict[tuple[str, int], list[float]] = {}
    for seed in range(seeds):
        for part in probe.folds([r.prompt_id for r in rows], seed):
            held = pairs.of(part)
            train = np.flatnonzero(~held)
            known = pairs.part(train).answers()
            vectors = dict(zip(ids, notes.directions(found, known), strict=True))
            own = [asked[n] for n in train]
            strategies: dict[str, Strategy] = {
                "random": Random(),
                "ranking": Ranking(),
                "uncertain": Uncertain(own, vectors, PENALTY),
            }
            for name, strategy in strategies.items():
                order = list(questions(Queue(own, strategy, seed=seed), ids, pairs, number))
                for size in SIZES:
                    some = pairs.part(np.array(order[:size]))
                    scores = found @ probe.fit(found, some, PENALTY)
                    right = (scores[pairs.first] > scores[pairs.second])[held]
                    results.setdefault((name, size), []).append(float(right.mean()))
    return results


def questions(
    queue: Queue, ids: Sequence[str], pairs: probe.Pairs, number: dict[str, int]
) -> Iterator[int]:
    """Yield the numbers of the pairs in the order in which the queue asks them."""
    time = 0.0
    while new := queue.next("p-1", 1, (), time):
        (question,) = new
        place = number[question.pair.id]
        yield place
        time += 1
        queue.add([answer(question.pair, ids[pairs.first[place]], time)])


def answer(pair: Pair, chosen: str, time: float) -> Event:
    at = f"2026-01-01T00:{int(time) // 60:02}:{int(time) % 60:02}.000Z"
    return Event(
        event_id=f"e{time}", kind="label", pair_id=pair.id, prompt_id=pair.prompt_id, left=pair.a,
        right=pair.b, chosen=chosen, strength=None, annotator="p-1", milliseconds=None, time=at,
        round=1, via="ballot",
    )  # fmt: skip


def show(results: dict[tuple[str, int], list[float]]) -> None:
    names = list(dict.fromkeys(name for name, _ in results))
    print(f"| labels | {' | '.join(names)} |\n|---:|{'---:|' * len(names)}")
    for size in SIZES:
        cells = [f"{100 * np.mean(results[name, size]):.1f}%" for name in names]
        print(f"| {size} | {' | '.join(cells)} |")
    print(f"\n| held out | {' | '.join(names)} |\n|---:|{'---:|' * len(names)}")
    for level in LEVELS:
        cells = [needed([float(np.mean(results[name, s])) for s in SIZES], level) for name in names]
        print(f"| {100 * level:.0f}% | {' | '.join(cells)} |")


def needed(curve: Sequence[float], level: float) -> str:
    """Return with how many labels the curve first reaches the level, by lines between points."""
    for n, value in enumerate(curve):
        if value >= level:
            if n == 0:
                return f"at most {SIZES[0]}"
            share = (level - curve[n - 1]) / (value - curve[n - 1])
            return f"{SIZES[n - 1] + share * (SIZES[n] - SIZES[n - 1]):.0f}"
    return f"more than {SIZES[-1]}"


if __name__ == "__main__":
    main()
