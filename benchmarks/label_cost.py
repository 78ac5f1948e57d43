"""How many questions a ranking takes, and how good its labels are for training.

    python benchmarks/label_cost.py --data pairs.csv [--seeds 5] [--json]

Replays recorded labels of all pairs of each prompt through palate's queue. `ranking` asks by merge
insertion and infers the other labels, `exhaustive` asks every pair of one prompt before the next
prompt, and `random` asks pairs in random order. Agreement is over all recorded pairs. Accuracy is
that of the bag-of-words preference model of `palate audit`, in five folds by prompt; each strategy
may ask as many questions as the ranking of the training prompts takes.
"""

import argparse
import json
from pathlib import Path
from random import Random

from support import titles

from palate.audit import baselines
from palate.audit.rows import Row
from palate.collect import importing, tables
from palate.collect.importing import Imported
from palate.core.schema import Event, Preference, Prompt, pairs_of
from palate.label import preferences
from palate.label.assignment import Queue
from palate.label.ranking import Order
from palate.label.strategies import STRATEGIES
from palate.train.data import as_audit_rows

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
    data = importing.labels_of(tables.read(str(arguments.data)), titles.COLUMNS, None)
    figures = measure(data, arguments.seeds)
    if arguments.json:
        print(json.dumps(figures))
        return
    print(f"questions per prompt  {figures['questions_per_prompt']:.2f}")
    print(f"agreement             {100 * figures['agreement']:.1f}%")
    for name, accuracy in figures["accuracy"].items():
        print(f"accuracy, {name:<12}{100 * accuracy:.1f}%")


def measure(data: Imported, seeds: int) -> dict:
    """Return questions, agreement and accuracies, means over `seeds` orders of asking."""
    recorded = {e.pair_id: e for e in data.events}
    count = agreeing = 0
    hits: dict[str, list[float]] = {"exhaustive": [], "ranking": [], "random": []}
    for seed in range(seeds):
        answers = replay(data, data.prompts, "ranking", seed)
        count += len(answers)
        agreeing += agreement(answers, recorded)
        ids = [p.id for p in data.prompts]
        Random(seed).shuffle(ids)
        for fold in range(FOLDS):
            held = set(ids[fold::FOLDS])
            train = [p for p in data.prompts if p.id not in held]
            budget = len(replay(data, train, "ranking", seed))
            for name, accuracies in hits.items():
                rows = labelled(data, train, name, seed, budget)
                accuracies.append(accuracy(rows, data, held))
    return {
        "questions_per_prompt": round(count / seeds / len(data.prompts), 3),
        "agreement": round(agreeing / seeds / len(recorded), 4),
        "accuracy": {name: round(sum(a) / len(a), 4) for name, a in hits.items()},
    }


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
    data: Imported, train: list[Prompt], strategy: str, seed: int, budget: int
) -> list[Preference]:
    answers = replay(data, train, strategy, seed, budget)
    return preferences.rebuild(train, data.candidates, answers).all()


def accuracy(rows: list[Preference], data: Imported, held: set[str]) -> float:
    """Return the share of recorded labels on `held` prompts that a bag of words gets right."""
    text = {c.id: c.text for c in data.candidates}
    test = [
        Row(0, e.prompt_id, text[better], text[worse], "left")
        for e in data.events
        if e.prompt_id in held
        for better, worse, strictly in e.statements()
        if strictly
    ]
    return baselines.tested(as_audit_rows(rows, "train"), test, baselines.bag_of_words).rate


if __name__ == "__main__":
    main()
