"""Verdicts for tests, counted from votes as palate counts them."""

from dataclasses import replace

from palate.core.schema import Candidate, Event, Model, Pair
from palate.evaluate.contest import EvaluationPairs
from palate.evaluate.counting import count_by_aspect, count_votes
from palate.evaluate.verdict import Verdict

BASE = Model("Qwen/Qwen2.5-0.5B-Instruct", "7ae5" * 10)
TUNED = Model("me/titles-dpo", "b" * 40)


def events(
    outcomes: str,
    base: Model = BASE,
    tuned: Model = TUNED,
    prompts: int = 1_000,
    people: int = 1,
    strength: int | None = None,
) -> tuple[list[Event], list[Candidate]]:
    """One vote a letter: w tuned wins, l loses, t tie, s skip, b both bad; capitals: tuned right.

    No two votes share a pair, nor a prompt unless there are fewer `prompts`;
    people take turns.
    """
    made, candidates = [], []
    for i, letter in enumerate(outcomes):
        prompt = f"q{i % prompts}"
        one = Candidate.of(prompt, f"base {i}", model=base.repo, revision=base.revision)
        two = Candidate.of(prompt, f"tuned {i}", model=tuned.repo, revision=tuned.revision)
        candidates += [one, two]
        left, right = (two, one) if letter.islower() else (one, two)
        pair = Pair.of(one, two)
        made.append(
            Event(
                event_id=f"event-{i:06}",
                kind={"t": "tie", "s": "skip", "b": "both_bad"}.get(letter.lower(), "label"),
                pair_id=pair.id,
                prompt_id=prompt,
                left=left.id,
                right=right.id,
                chosen={"w": two.id, "l": one.id}.get(letter.lower()),
                strength=strength if letter.lower() in "wl" else None,
                annotator=f"p-{i % people}",
                milliseconds=500,
                time=f"2026-11-{1 + i // 3600:02}T20:{i // 60 % 60:02}:{i % 60:02}.000Z",
                round=1,
                via="ballot",
            )
        )
    return made, candidates


def votes(wins: int, losses: int, ties: int = 0, revision: str = "b" * 40) -> Verdict:
    """Return a verdict of so many votes, half of them with tuned on either side."""
    letters = ("wW" * wins)[:wins] + ("lL" * losses)[:losses] + "t" * ties + "ssb"
    tuned = Model(TUNED.repo, revision)
    judgements, candidates = events(letters, BASE, tuned)
    return counted(judgements, candidates, asked_about(wins + losses + ties, 1, tuned))


def of_rounds(*outcomes: str) -> Verdict:
    """Return the verdict on the newest of several rounds, whose votes have these outcomes."""
    judgements, candidates, model = [], [], TUNED
    for number, letters in enumerate(outcomes, 1):
        model = Model(TUNED.repo, str(number) * 40)
        made, written = events(letters, BASE, model)
        judgements += [replace(e, event_id=f"{number}-{e.event_id}", round=number) for e in made]
        candidates += [replace(c, round=number) for c in written]
    compared = EvaluationPairs(BASE, model, [])
    verdict = count_by_aspect(judgements, candidates, compared, ())
    assert verdict is not None
    return verdict


def asked_about(pairs: int = 0, identical: int = 0, tuned: Model = TUNED) -> EvaluationPairs:
    """Return an evaluation of base and tuned with so many pairs, which nothing looks into."""
    return EvaluationPairs(BASE, tuned, [Pair("q", "a", "b")] * pairs, identical)


def counted(
    judgements: list[Event], candidates: list[Candidate], compared: EvaluationPairs | None = None
) -> Verdict:
    """Return the verdict of votes, of which there has to be one."""
    verdict = count_votes(judgements, candidates, compared or asked_about())
    assert verdict is not None
    return verdict
