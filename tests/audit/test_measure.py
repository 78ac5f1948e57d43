"""What an audit finds in rows that were made to have it."""

import csv
import random
import zlib

import pytest

from palate.audit import baselines, findings, json_report, measure, rows
from palate.collect import pairs
from palate.collect.columns import Columns
from palate.collect.tables import Table

COLUMNS = Columns("idea", "a", "b", "choice")
WORDS = ("quiet", "bread", "river", "clock", "winter", "garden", "letter", "music", "paper")


def crc(text):
    return zlib.crc32(text.encode())


def table(*given, columns=("idea", "a", "b", "choice")):
    made = [dict(zip(columns, values, strict=False)) for values in given]
    return Table("pairs.csv", tuple(columns), made, list(range(1, len(made) + 1)))


def audit(*given, learn=True, **kwargs):
    return measure.measure(pairs.read(table(*given, **kwargs), COLUMNS), learn)


def ranked(prompts=40, texts=4, seed=0, better=lambda text: len(text)):
    """Rows of all pairs of each prompt, the one with the higher `better` chosen."""
    draw = random.Random(seed)
    made = []
    for i in range(prompts):
        some = [
            " ".join(draw.choices(WORDS, k=draw.randint(3, 9))) + f" {i}-{k}" for k in range(texts)
        ]
        for x in range(texts):
            for y in range(x):
                a, b = draw.sample((some[x], some[y]), 2)
                made.append((f"idea {i}", a, b, "a" if better(a) > better(b) else "b"))
    return made


def levels(result):
    return {f.text: f.level for f in findings.findings(result)}


def found(result, words):
    return [f for f in findings.findings(result) if words in f.text]


def test_rows_prompts_and_texts_are_counted():
    result = audit(("i", "x", "y", "a"), ("i", "x", "z", "b"), ("j", "x", "y", "tie"))
    assert (result.rows, result.prompts, result.texts) == (3, 2, 5)
    assert result.candidates == {3: 1, 2: 1}
    assert result.kinds == {"left": 1, "right": 1, "tie": 1}


def test_what_cannot_be_read_is_counted_with_its_rows_and_nothing_is_raised():
    result = audit(
        ("i", "x", "y", "a"), ("i", "", "y", "a"), ("", "x", "y", "b"), ("i", "x", "y", "7")
    )
    assert (result.rows, result.usable) == (4, 1)
    assert result.problems == {
        "with an empty or malformed text": [2],
        "with an empty or malformed prompt": [3],
        "whose choice is neither of the two texts nor a tie": [4],
    }
    assert "row 2" in found(result, "malformed text")[0].text


def test_a_cycle_of_one_person_is_a_cyclic_triad_and_of_two_people_is_none():
    circle = [("i", "x", "y", "a"), ("i", "y", "z", "a"), ("i", "x", "z", "b")]
    assert (audit(*circle).cycles.hits, audit(*circle).cycles.n) == (1, 1)
    columns = ("idea", "a", "b", "choice", "annotator")
    people = [(*row, who) for row, who in zip(circle, ("p", "p", "q"), strict=True)]
    assert audit(*people, columns=columns).cycles.n == 0
    straight = [*circle[:2], ("i", "x", "z", "a")]
    assert (audit(*straight).cycles.hits, audit(*straight).cycles.n) == (0, 1)


def test_a_single_triad_or_choice_is_too_few_for_a_verdict():
    circle = ("i", "x", "y", "a"), ("i", "y", "z", "a"), ("i", "z", "x", "a")
    (cyclic,) = found(audit(*circle), "triad")
    assert cyclic.text.startswith("Of 1 triad, 1 is cyclic (100.0%; 25% by chance")
    assert (cyclic.level, "too few to tell" in cyclic.advice) == ("note", True)
    assert not found(audit(("i", "x", "y", "b"), ("j", "x", "y", "b")), "Every choice was the same")


def test_answers_are_consistent_only_where_every_pair_was_asked():
    (few,) = found(audit(*ranked(), learn=False), "triad")
    assert few.advice.startswith("Where every pair was asked, the answers are consistent")
    (many,) = found(audit(*ranked(better=crc), learn=False), "triad")
    assert many.level == "note"
    draw = random.Random(1)
    (coins,) = found(audit(*ranked(better=lambda _: draw.random()), learn=False), "triad")
    assert (coins.level, "inconsistent" in coins.advice) == ("warning", True)


def test_identical_duplicate_and_contradicting_rows():
    result = audit(
        ("i", "x", "x", "a"), ("i", "x", "y", "a"), ("i", "y", "x", "b"), ("I ", "x", "y", "b")
    )
    assert result.identical == [1]
    assert result.duplicates == 1
    assert result.contradictions == 1


def test_only_identical_pairs_are_fatal():
    result = audit(("i", "x", "x", "a"), ("j", "y", "y", "b"))
    assert "fatal" in levels(result).values()


def test_a_split_that_shares_prompts_is_fatal_and_shows_what_a_lookup_scores():
    made = [(*row, "train" if i % 5 else "test") for i, row in enumerate(ranked())]
    result = audit(*made, columns=("idea", "a", "b", "choice", "split"))
    (leak,) = result.leaks
    assert (leak.split, leak.rows, leak.prompts) == ("test", 48, 48)
    assert leak.lookup.rate > 0.7
    finding = found(result, "The split test leaks")[0]
    assert finding.level == "fatal"
    assert "48 of its 48 rows" in finding.text


def test_a_split_by_prompt_leaks_nothing():
    made = ranked()
    split = {row[0]: "test" if i % 5 == 0 else "train" for i, row in enumerate(made)}
    made = [(*row, split[row[0]]) for row in made]
    assert audit(*made, columns=("idea", "a", "b", "choice", "split")).leaks == []


@pytest.mark.parametrize("change", ["{}?", "Please: {}", "{} \u200b", "{} now"])
def test_a_prompt_much_like_one_of_train_is_a_warning(change):
    text = "Write a title for a video about repairing old wooden clocks at home"
    made = [(text, "x", "y", "a", "train")] * 3 + [(change.format(text), "u", "v", "a", "test")]
    result = audit(*made, columns=("idea", "a", "b", "choice", "split"))
    (leak,) = result.leaks
    assert (leak.prompts, leak.alike) == (0, 1)
    (finding,) = found(result, "The split test leaks")
    assert finding.level == "warning"
    assert "1 of its 1 row has a prompt much like one of train" in finding.text


def test_people_who_are_not_named_are_not_one_person():
    ways = ["xyz", "yzx", "zxy"]  # three people, each of whom is consistent
    made = [(f"prompt {i}", a, b, "a" if way.index(a) < way.index(b) else "b")
            for i in range(10) for way in ways for a, b in ("xy", "yz", "xz")]  # fmt: skip
    result = audit(*made)
    assert result.cycles.n == 0
    assert found(result, "Circular answers were not counted")
    assert "copies, or people who agree" in found(result, "repeat an earlier one")[0].text
    named = [(*row, str(i // 3 % 3)) for i, row in enumerate(made)]
    result = audit(*named, columns=("idea", "a", "b", "choice", "annotator"))
    assert (result.cycles.hits, result.cycles.n, result.duplicates) == (0, 30, 0)


def test_biases_say_how_many_were_looked_at():
    made = [(f"i{k}", f'the "{k}" one', f"the {k} one", "b") for k in range(30)]
    result = audit(*made)
    assert result.tests == 3  # length, side, quotation marks
    text = found(result, "quotation mark")[0].text
    assert text.endswith("adjusted for 3 tests.")


def test_words_counted_once_give_the_same_baseline():
    strict = pairs.read(table(*ranked()), COLUMNS).rows
    apart, shared = (
        baselines.held_out(strict, words, by_prompt=True)
        for words in (baselines.bag_of_words, baselines.shared_words(strict))
    )
    assert shared.rate == pytest.approx(apart.rate, abs=0.01)
    assert shared.rate > 0.6


def test_length_decides_and_the_baselines_find_it():
    result = audit(*ranked())
    assert result.longer.rate > 0.95
    assert result.length_rule.rate > 0.95
    assert found(result, "the longer text is preferred")[0].level == "warning"


def test_a_lookup_table_gains_by_row_and_not_by_prompt():
    result = audit(*ranked(better=crc))
    assert result.lookup["by row"].low > 0.6
    assert result.lookup["by prompt"].rate == pytest.approx(0.5, abs=0.02)
    assert found(result, "A split by row would leak")[0].level == "warning"


def test_a_word_that_decides_is_learned():
    made = ranked(better=lambda text: (3 * text.count("music") - text.count("clock"), crc(text)))
    result = audit(*made)
    assert result.baseline["by prompt"].low > 0.5


def test_all_choices_on_one_side_is_said():
    made = [(p, a, b, "b") for p, a, b, _ in ranked(prompts=5)]
    assert found(audit(*made), "same side")[0].level == "warning"


def test_quotation_marks_that_count_against_a_text():
    made = [(f"i{k}", f'the "{k}" one', f"the {k} one", "b") for k in range(30)]
    text = found(audit(*made), "quotation mark")[0].text
    assert "are rejected" in text
    assert "0 of 30" in text


def test_few_rows_have_no_baseline_and_say_so():
    result = audit(("i", "x", "y", "a"))
    assert result.baseline == {}
    assert found(result, "Too few rows")


def test_rows_without_a_prompt_are_not_called_rows_without_a_choice():
    texts = {"chosen": "Human: hi. Assistant: x", "rejected": "Human: hi. Assistant: y"}
    given = Table("p.jsonl", ("chosen", "rejected"), [texts] * 3, [1, 2, 3])
    result = measure.measure(pairs.read(given, Columns()))
    (finding,) = [f for f in findings.findings(result) if f.level == "fatal"]
    assert finding.text == "None of the 3 rows can be read, so nothing is known of the choices."
    assert "--prompt" in finding.advice


def test_chosen_and_rejected_files_say_nothing_of_sides():
    given = Table("p.jsonl", ("prompt", "chosen", "rejected"),
                  [{"prompt": "i", "chosen": [{"role": "assistant", "content": "x"}],
                    "rejected": [{"role": "assistant", "content": "y"}]}], [1])  # fmt: skip
    data = pairs.read(given, Columns())
    assert measure.measure(data).second is None
    assert (data.rows[0].winner, data.rows[0].loser) == ("x", "y")


def test_json_has_plain_numbers_under_the_names_that_scripts_ask_for():
    result = audit(*ranked())
    made = json_report.to_json(result, findings.findings(result))
    for name in (
        "rows", "prompts", "cyclic_triads", "triads", "row_split_lookup_accuracy",
        "prompt_split_lookup_accuracy", "row_split_baseline_accuracy", "baseline_accuracy",
        "longer_chosen", "second_side_chosen",
    ):  # fmt: skip
        assert isinstance(made[name], (int, float)), name
    assert {f["level"] for f in made["findings"]} <= {"fatal", "warning", "note"}


def test_a_csv_with_ragged_or_missing_columns_is_refused_as_an_import_is(tmp_path):
    file = tmp_path / "pairs.csv"
    with file.open("w") as out:
        csv.writer(out).writerows([("idea", "a", "b"), ("i", "x", "y")])
    with pytest.raises(Exception, match="choice"):
        rows.read(str(file), COLUMNS)
