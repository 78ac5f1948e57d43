"""From nothing to a decided verdict: how many judgements it takes a simulated person.

    python benchmarks/minutes.py --model FOLDER [--data pairs.csv] [--workers 8] [--minutes 6]
                                 [--only ranking,best-of-16] [--labels 50,100,190] [--seeds 0,1]
                                 [--out minutes.jsonl]
    python benchmarks/minutes.py --table [--out minutes.jsonl] [--json]

On one H100 with 16 cores: `python benchmarks/minutes.py --model smollm2 --workers 14 --minutes 5
--out $OUT/minutes.jsonl`. FOLDER holds SmolLM2-135M-Instruct. In a seed 50 of the data's prompts
are voted on, and the model writes five answers to each of the others. The person labels pairs of
these, in the order in which a strategy asks; a model is trained by palate's trainer; the person
votes blind on one answer each of base and tuned model, a prompt a vote, until palate's rule
decides or the prompts end. A judgement is a label or a vote, and takes 5 s.

The person's taste is a reward fitted on all recorded labels, on the features of the model's last
layer (a reward of palate's reads another one). Of two answers the person prefers one by a logistic
chance, whose scale makes them choose the same one of a pair twice in 85%. The judge of `ai` is a
reward of the person's 50 labels, on the layer that palate's rewards read.
"""

import argparse
import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from scipy.special import expit
from support import journal, measured, minutes_table, titles, trainings
from support.study import PERSON, Study, complete_all, event, study

from palate.evaluate.decision import MARGIN, Evidence, decide
from palate.generate.models import Loaded
from palate.label.preferences import rebuild
from palate.label.strategies import Random, Ranking, Uncertain
from palate.reward import notes, probe

HUMAN = 50  # labels of the person where a judge answers the others
BEFORE_REWARD = 30  # labels in the order of a ranking, before `uncertain` has a reward
PENALTY = 3.0
N = 16
Way = Callable[[Study, Path, int], Loaded | probe.Probe]


def on_random(made: Study, model: Path, labels: int) -> Loaded:
    made.label(Random(), labels)
    return trainings.on_pairs(model, made.rows())


def ranking(made: Study, model: Path, labels: int) -> Loaded:
    made.label(Ranking(), labels)
    return trainings.on_pairs(model, made.rows())


def uncertain(made: Study, model: Path, labels: int) -> Loaded:
    made.label(Ranking(), min(labels, BEFORE_REWARD))
    answers, found = made.vectors()
    (layer,) = found
    known = answers.pairs(made.rows(), "off").answers()
    directions = notes.directions(found[layer], known)
    vectors = {c.id: directions[answers.places[c.prompt_id, c.text]] for c in made.candidates}
    made.label(Uncertain(made.pairs, vectors, PENALTY), labels)
    return trainings.on_pairs(model, made.rows())


def best_of_16(made: Study, model: Path, labels: int) -> probe.Probe:
    made.label(Ranking(), labels)
    return made.reward()


def ai(made: Study, model: Path, labels: int) -> Loaded:
    made.label(Random(), labels)
    told = {e.pair_id for e in made.events}
    others = [event(pair, pair.a, n) for n, pair in enumerate(made.pairs) if pair.id not in told]
    rows = rebuild(made.train, made.candidates, others).rows["train"]
    asked = [r for r in rows if r.source == "human"]
    return trainings.with_judge(model, made.taste.base, made.rows(), asked)[0]


WAYS: dict[str, Way] = {
    "random": on_random,
    "ranking": ranking,
    "uncertain": uncertain,
    "ai": ai,
    "best-of-16": best_of_16,
}


def vote(made: Study, tuned: Loaded | probe.Probe) -> dict[str, Any]:
    """Let the person vote until it is decided; return the votes."""
    base = made.of_base(1)
    if isinstance(tuned, Loaded):
        new = complete_all(tuned, made, 1)
    else:
        drawn = made.of_base(N)
        asked = [p.prompt for p in made.evals for _ in range(N)]
        own = measured.scores(made.taste.base, tuned, asked, drawn).reshape(-1, N).argmax(1)
        new = [drawn[N * k + int(best)] for k, best in enumerate(own)]
    prompts = [p.prompt for p in made.evals]
    likes = [made.taste.scores(prompts, texts) for texts in (new, base)]
    counted, votes = Evidence(), 0
    decision = "open"
    for p, texts, scores in zip(
        made.evals, zip(new, base, strict=True), zip(*likes, strict=True), strict=True
    ):
        if texts[0] == texts[1]:  # nobody is asked about equal texts
            counted.add(p.id, PERSON, 0.5)
            continue
        votes += 1
        counted.add(p.id, PERSON, float(made.prefers(*scores)))
        decision = decide(counted.wins, counted.losses, counted.about("prompts"), MARGIN)
        if decision != "open":
            break
    whole = float(np.mean([expit((a - b) / made.scale) for a, b in zip(*likes, strict=True)]))
    return {
        "votes": votes, "wins": counted.wins, "ties": counted.ties, "decision": decision,
        "win_rate": round(whole, 4),
    }  # fmt: skip


def run(model: Path, data: Path, task: journal.Task) -> dict[str, Any]:
    """Return what a way needs in a seed."""
    made = study(model, data, task["seed"])
    tuned = WAYS[task["way"]](made, model, task["labels"])
    return {"given": len(made.events), "train_rows": len(made.rows()), **vote(made, tuned)}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--model", type=Path)
    parser.add_argument("--data", type=Path, default=titles.DATA)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--minutes", type=float, default=180)
    parser.add_argument("--only", default=",".join(WAYS))
    parser.add_argument("--labels", default="50,100,190")
    parser.add_argument("--seeds", default="0,1,2,3,4")
    parser.add_argument("--out", type=Path, default=Path("minutes.jsonl"))
    parser.add_argument("--table", action="store_true")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    ways = arguments.only.split(",")
    if unknown := set(ways) - set(WAYS):
        parser.error(f"expected ways of {', '.join(WAYS)}, found {', '.join(unknown)}")
    if not arguments.table:
        for path in (arguments.model, arguments.data):
            if not path or not path.exists():
                parser.error(f"{path} does not exist. Name --model FOLDER and --data FILE.")
        sizes = list(map(int, arguments.labels.split(",")))
        tasks = [
            {"way": way, "labels": n, "seed": seed}
            for seed in map(int, arguments.seeds.split(","))
            for way in WAYS
            if way in ways
            for n in ([HUMAN] if way == "ai" else sizes)
        ]
        one = partial(run, arguments.model, arguments.data)
        # a process keeps what a seed's model wrote for all its ways and numbers of labels
        journal.run_missing(
            tasks, one, arguments.out, arguments.workers, arguments.minutes, fresh=False
        )
    lines = minutes_table.lines(journal.read(arguments.out))
    print(json.dumps(lines) if arguments.json else minutes_table.table(lines))


if __name__ == "__main__":
    main()
