from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from palate.core import splits
from palate.core.errors import PalateError
from palate.core.project import Settings
from palate.core.schema import Preference, Prompt


def prompts(n: int, start: int = 0) -> list[Prompt]:
    return [Prompt.of(f"prompt {i}") for i in range(start, start + n)]


@given(st.integers(3, 300), st.integers(0, 5))
def test_fractions_hold_and_every_split_is_there(n, seed):
    out = splits.assign(prompts(n), [], Settings(test=0.1, eval=0.2, seed=seed))
    size = Counter(p.split for p in out)
    assert len(out) == n
    assert size["test"] == max(1, round(0.1 * n))
    assert size["eval"] == max(1, round(0.2 * n))


@given(st.integers(3, 100), st.integers(1, 100))
def test_a_prompt_keeps_its_split_when_more_arrive(n, more):
    first = splits.assign(prompts(n), [], Settings(test=0.1, eval=0.2, seed=0))
    added = splits.assign(prompts(n + more), first, Settings(test=0.1, eval=0.2, seed=0))
    assert len(added) == more
    assert {p.id for p in added}.isdisjoint(p.id for p in first)
    size = Counter(p.split for p in first + added)
    assert abs(size["eval"] - 0.2 * (n + more)) <= 1


@pytest.mark.parametrize(("n", "held_out"), [(3, 1), (10, 4), (114, 45), (150, 60), (2_000, 60)])
def test_the_first_prompts_give_what_a_verdict_takes_and_at_most_two_in_five(n, held_out):
    size = Counter(p.split for p in splits.assign(prompts(n), [], Settings()))
    assert size["eval"] == held_out
    assert size["test"] == max(1, round(0.1 * n))


def test_more_prompts_fill_up_the_eval_split_and_no_further():
    first = splits.assign(prompts(114), [], Settings())
    more = splits.assign(prompts(1_000, 114), first, Settings())
    size = Counter(p.split for p in more)
    assert size["eval"] == 15
    assert splits.eval_missing(Settings(), first) == 15
    assert splits.eval_missing(Settings(), first + more) == 0
    assert splits.eval_missing(Settings(eval=0.1), first) == 15


@given(st.integers(3, 100), st.integers(0, 100))
def test_prompts_with_labels_never_become_eval_prompts(n, unlabelled):
    rows = prompts(n + unlabelled)
    labelled = {p.id for p in rows[:n]}
    out = splits.assign(rows, [], Settings(), labelled)
    held_out = {p.id for p in out if p.split == "eval"}
    assert not held_out & labelled
    assert len(held_out) == min(unlabelled, splits.eval_target(Settings(), len(rows)))


def test_splits_that_a_source_published_stay_as_they_are():
    rows = [*prompts(30), *(replace(p, split="test") for p in prompts(3, 30))]
    out = splits.assign(rows, [], Settings(), {p.id for p in rows})
    assert [p.split for p in out] == ["train"] * 30 + ["test"] * 3


def test_the_seed_decides_and_the_order_does_not():
    def assign(rows: list[Prompt], seed: int) -> dict[str, str]:
        made = splits.assign(rows, [], Settings(test=0.2, eval=0.2, seed=seed))
        return {p.id: p.split for p in made}

    assert assign(prompts(50), 1) == assign(prompts(50)[::-1], 1)
    assert assign(prompts(50), 1) != assign(prompts(50), 2)


def test_repeats_among_the_new_ones_count_once():
    assert len(splits.assign(prompts(4) * 2, [], Settings(test=0.1, eval=0.1, seed=0))) == 4


def test_a_prompt_in_two_splits_is_refused_by_its_normalised_text():
    with pytest.raises(PalateError, match="is in the splits train and eval"):
        splits.check_no_overlap([Prompt.of("Two  words"), Prompt.of("two words", "eval")])


@pytest.mark.parametrize(
    "other", ["Explain the tides, please.", "Explain the tides!", "EXPLAIN the tidse"]
)
def test_an_eval_prompt_much_like_a_train_prompt_is_refused(other):
    splits.check_no_overlap([Prompt.of("Explain the tides"), Prompt.of(other, "test")])
    with pytest.raises(PalateError, match="is in the split train, or one much like it"):
        splits.check_no_overlap([Prompt.of("Explain the tides"), Prompt.of(other, "eval")])


def test_prompts_much_like_another_are_not_held_out():
    rows = [
        Prompt.of(text) for i in range(40) for text in (f"Sing of king {i}", f"sing of king {i}?!")
    ]
    assert {p.split for p in splits.assign(rows, [], Settings())} == {"train"}
    splits.check_no_overlap(splits.assign([*rows, *prompts(60)], [], Settings()))
    # likewise where the other one is there already
    drawn = splits.assign(rows[::2], [], Settings())
    assert any(p.split == "eval" for p in drawn)
    later = splits.assign(rows[1::2], [replace(p, split="train") for p in drawn], Settings())
    assert {p.split for p in later} == {"train"}


def test_training_on_a_held_out_prompt_is_refused():
    said = [{"role": "assistant", "content": "x"}]
    row = Preference([{"role": "user", "content": "a  Prompt"}], said, said, None, 0.0, "human",
                     "ann", "p", "q", 1)  # fmt: skip
    splits.check_training([row], [Prompt.of("A prompt")])
    with pytest.raises(PalateError, match=r"The eval prompt .* occurs in the training data"):
        splits.check_training([row], [Prompt.of("A prompt", "eval")])


def trained_on(*texts: str) -> list[Prompt]:
    others = [f"Tell me about the {w} of Rome" for w in ("roads", "emperors", "baths", "markets")]
    return [replace(Prompt.of(t), split="train") for t in (*others, *texts)]


@pytest.mark.parametrize(
    "blind",
    [
        "Explain how fine-tuning on human feedback works",
        "explain  how FINE-TUNING on human feedback works",
        "Explain how fine-tuning on human feedback works?",
        "Explain how fine-tuning on human feedbacks works",
    ],
)
def test_an_eval_prompt_that_was_nearly_trained_on_is_named(blind):
    known = trained_on("Explain how fine-tuning on human feedback works.")
    rows = [replace(Prompt.of(blind), split="eval")]
    with pytest.raises(PalateError, match="was trained on, or one much like it: 'Explain how fine"):
        splits.check_evaluation([*known, *rows], [])


@pytest.mark.parametrize(
    "blind",
    ["Explain how pre-training on raw text works", "Tell me about the aqueducts of Rome", "Why?"],
)
def test_prompts_that_share_a_form_are_no_near_duplicates(blind):
    known = trained_on("Explain how fine-tuning on human feedback works.")
    assert splits.check_evaluation([*known, replace(Prompt.of(blind), split="eval")], []) is None
