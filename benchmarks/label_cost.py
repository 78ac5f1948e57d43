"""How many questions a ranking takes, and how good its labels are for training.

    python benchmarks/label_cost.py --data pairs.csv [--seeds 5] [--json]

Replays recorded labels of all pairs of each prompt through palate's queue. `ranking` asks by merge
insertion and infers the other labels, `asked` is the ranking without what it infers, `exhaustive`
asks every pair of one prompt before the next prompt, and `random` asks pairs in random order.
Inferred pairs are compared with what the person recorded. Accuracy is that of the bag-of-words
preference model of `palate audit`, in five folds by prompt; each strategy may ask as many questions
as the ranking of the training prompts takes. Intervals are for other prompts.
"""

import argparse
import json
from pathlib import Path
from random import Random

import numpy as np
from support import titles

from palate.audit import baselines
from palate.audit.rows import Row
from palate.collect import labels, pairs, tables
from palate.collect.importing import Imported
from palate.core.rates import clustered
from palate.core.schema import Event, Pair, Preference, Prompt, pairs_of
from palate.label import preferences
from palate.label.assignment import Queue
from palate.label.ranking import Order
from palate.label.strategies import STRATEGIES
from palate.train.records.results import lead
from palate.train.rows.data import as_audit_rows

FOLDS = 5


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--data", type=Path, default=titles.DATA)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    if not arguments.data.exists():
        parser.error(f"{arguments.data} does not exist. Name a file with --data.")
    data = labels.labels_of(pairs.read(tables.read(str(arguments.data)), titles.COLUMNS))
    figures = measure(data, arguments.seeds)
    if arguments.json:
        print(json.dumps(figures))
        return
    print(f"questions per prompt         {figures['questions_per_prompt']:.2f}")
    wrong = figures["implied_wrong"]
    print(f"implied pairs contradicted   {wrong['hits']:,} of {wrong['n']:,}, {points(wrong)}")
    print(f"agreement, asked and implied {100 * figures['agreement']:.1f}%")
    for name, accuracy in figures["accuracy"].items():
        print(f"accuracy, {name:<19}{points(accuracy)}")
    print(f"accuracy, asked - ranking    {points(figures['without_implied'])}")


def points(figure: dict) -> str:
    low, high = (100 * x for x in figure["interval"])
    return f"{100 * figure['rate']:.1f}% ({low:.1f} to {high:.1f}%)"


def measure(data: Imported, seeds: int) -> dict:
    """Return questions, implied pairs and accuracies over `seeds` orders of asking."""
    recorded = {e.pair_id: e for e in data.events}
    strict = [e for e in data.events if e.kind == "label"]
    count = agreeing = 0
    wrong: list[tuple[str, bool]] = []  # prompt of each implied pair, and whether it is wrong
    names = ("exhaustive", "ranking", "asked", "random")
    right = {name: np.zeros(len(strict)) for name in names}
    for seed in range(seeds):
        answers = replay(data, data.prompts, "ranking", seed)
        count += len(answers)
        agreeing += agreement(answers, recorded)
        wrong += contradicted(answers, recorded)
        ids = [p.id for p in data.prompts]
        Random(seed).shuffle(ids)
        for fold in range(FOLDS):
            held = set(ids[fold::FOLDS])
            train = [p for p in data.prompts if p.id not in held]
            budget = len(replay(data, train, "ranking", seed))
            places = [i for i, e in enumerate(strict) if e.prompt_id in held]
            test = [strict[i] for i in places]
            for name in names:
                rows = labelled(data, train, name, seed, budget)
                right[name][places] += hits(rows, data, test) / seeds
    prompts = [e.prompt_id for e in strict]
    figures = {
        "questions_per_prompt": round(count / seeds / len(data.prompts), 3),
        "implied_wrong": {
            "hits": sum(w for _, w in wrong),
            "n": len(wrong),
            **share([float(w) for _, w in wrong], [p for p, _ in wrong]),
        },
        "agreement": round(agreeing / seeds / len(recorded), 4),
        "accuracy": {name: share(list(r), prompts) for name, r in right.items()},
    }
    gain = lead(right["asked"] - right["ranking"], prompts)
    return figures | {"without_implied": {"rate": gain.difference, "interval": gain.interval}}


def share(values: list[float], prompts: list[str]) -> dict:
    """Return a mean with its interval for other prompts."""
    return {"rate": sum(values) / len(values), "interval": clustered(values, prompts)}


def contradicted(answers: list[Event], recorded: dict[str, Event]) -> list[tuple[str, bool]]:
    """Return the prompt of each implied pair, and whether the person recorded the opposite."""
    by_prompt: dict[str, list[Event]] = {}
    for e in answers:
        by_prompt.setdefault(e.prompt_id, []).append(e)
    return [
        (prompt, recorded[pair].chosen != better)
        for prompt, events in by_prompt.items()
        for better, worse in Order(events).implied()
        if (pair := Pair.between(prompt, better, worse).id) in recorded
    ]


def replay(
    data: Imported, prompts: list[Prompt], strategy: str, seed: int, budget: int | None = None
) -> list[Event]:
    """Return the recorded answers to the questions that the queue asks."""
    ids = {p.id for p in prompts}
    recorded = {e.pair_id: e for e in data.events}
    pairs = pairs_of(c for c in data.candidates if c.prompt_id in ids)
    queue = Queue(pairs, STRATEGIES[strategy](), seed=seed)
    answers: list[Event] = []
    while budget is None or len(answers) < budget:
        questions = queue.next("p-1", 50, (), now=0)
        if not questions:
            break
        judged = [recorded[q.pair.id] for q in questions][: (budget or 10**9) - len(answers)]
        queue.add(judged)
        answers += judged
    return answers


def agreement(answers: list[Event], recorded: dict[str, Event]) -> int:
    """Return how many recorded labels the order of the answers reproduces."""
    by_prompt: dict[str, list[Event]] = {}
    for e in answers:
        by_prompt.setdefault(e.prompt_id, []).append(e)
    orders = {prompt: Order(events) for prompt, events in by_prompt.items()}
    return sum(
        orders[e.prompt_id].compare(better, worse) == strictly
        for e in recorded.values()
        for better, worse, strictly in e.statements()
    )


def labelled(
    data: Imported, train: list[Prompt], name: str, seed: int, budget: int
) -> list[Preference]:
    """Return the training rows of a strategy; those of `asked` lack what the ranking implies."""
    answers = replay(data, train, "ranking" if name == "asked" else name, seed, budget)
    rows = preferences.rebuild(train, data.candidates, answers).all()
    return [r for r in rows if r.source == "human"] if name == "asked" else rows


def hits(rows: list[Preference], data: Imported, events: list[Event]) -> np.ndarray:
    """Return 1 for each recorded choice that a bag of words learned from `rows` gets right."""
    text = {c.id: c.text for c in data.candidates}
    test = [
        Row(0, e.prompt_id, text[better], text[worse], "left")
        for e in events
        for better, worse, _ in e.statements()
    ]
    return (1 + np.sign(baselines.bag_of_words(as_audit_rows(rows, "train"))(test))) / 2


if __name__ == "__main__":
    main()
