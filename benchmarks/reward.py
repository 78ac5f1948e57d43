"""A reward model's probe on a real model and recorded labels, over five folds by prompt.

    python benchmarks/reward.py [--model FOLDER] [--data pairs.csv]

FOLDER holds SmolLM2-135M-Instruct (`python -m palate.demo.smollm2 FOLDER` makes it); without
--model, the installed package makes one. Each fold is scored by a probe of the other folds, which
also chose its penalty. The last probe is saved, and plain transformers scores all answers
with it.
"""

import argparse
import resource
import tempfile
import time
from pathlib import Path

import numpy as np
from support import folds, titles

from palate.core.rates import Rate
from palate.demo import smollm2
from palate.reward import classifier, features, figures, probe
from palate.reward.rows import Answers


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--model", type=Path)
    parser.add_argument("--data", type=Path, default=titles.DATA)
    arguments = parser.parse_args()
    if arguments.model:
        measure(arguments.model, arguments.data)
    else:
        with tempfile.TemporaryDirectory() as folder:
            smollm2.save_model(Path(folder))
            measure(Path(folder), arguments.data)


def measure(model: Path, data: Path) -> None:
    start = time.monotonic()
    rows = folds.preferences(data)
    loaded = folds.load(model)
    answers = Answers.of(rows)
    texts = features.chats(loaded.tokenizer, answers.chats)
    layer = features.middle(loaded.model.config)
    found = features.extract(loaded, texts, answers.prompts, [layer])
    read = time.monotonic()
    pairs = answers.pairs(rows, "off")
    parts = [{r.prompt_id for r in f.rows.test[f.choosing :]} for f in folds.folds(rows)]
    leads, penalties = np.zeros(len(rows)), []
    for part in parts:
        held = pairs.of(part)
        known = pairs.part(~held)
        choice = probe.choose(found, known, 1)
        penalties.append(f"{choice.penalty:g}")
        scores = probe.fitted(found, known, choice).scores(found)
        leads[held] = (scores[pairs.first] - scores[pairs.second])[held]
    fitted = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        last = probe.fitted(found, pairs, choice)
        classifier.with_head(loaded, last).save_pretrained(folder)
        loaded.tokenizer.save_pretrained(folder)
        plain, tokenizer = classifier.load(Path(folder))
        scores = classifier.scores(plain, tokenizer.pad_token_id, texts)
    off = np.abs(scores - last.scores(found)).max()
    prompts = [r.prompt_id for r in rows]
    rules = figures.rules_by_fold(rows, [], parts)
    accuracies, ahead = figures.compared(rules, leads, prompts)
    chances = figures.calibrated(leads, prompts, 0)
    assert chances is not None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print("| | |\n|---|---:|")
    print(f"| probe, held out | {_rate(Rate.of(list(leads > 0), prompts))} |")
    for name, accuracy in accuracies.items():
        print(f"| {name} | {accuracy.words()} |")
        print(f"| difference from it | {ahead[name].words()} |")
    print(f"| penalties chosen, on layer {layer} | {', '.join(penalties)} |")
    print(f"| calibration error | {100 * figures.calibration_error(chances):.1f} points |")
    print(f"| log loss (a coin: 0.693) | {-np.log(chances).mean():.3f} |")
    explained = figures.length_explains(scores, answers.lengths, answers.prompts)
    print(f"| length explains of the last fold's scores | {100 * explained:.0f}% |")
    print(f"| plain transformers differs by at most | {off:.1e} |")
    print(f"| features of {len(texts)} answers | {read - start:.0f} s |")
    print(f"| choosing and fitting, five folds | {fitted - read:.0f} s |")
    print(f"| peak memory | {peak:.1f} GB |")


def _rate(rate: Rate) -> str:
    low, high = rate.interval or (0.0, 1.0)
    return f"{100 * (rate.rate or 0):.1f}% ({100 * low:.1f}–{100 * high:.1f}%)"


if __name__ == "__main__":
    main()
