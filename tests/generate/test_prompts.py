"""Prompts that a model writes: their form, what is left out, and how many tries it gets."""

from collections import Counter
from collections.abc import Callable

import pytest

from palate.core.errors import UsageError
from palate.core.schema import Prompt
from palate.generate.generation import Completion, OneLine, Sampling
from palate.generate.models import Loaded
from palate.generate.prompts import TRIES, Form, Written, write_prompts

IDEAS = ["green tea", "how bridges stand", "the sound of whales", "a chess engine in a day"]
PROMPTS = [
    Prompt.of(f"Write a title for a video about: {i}\nAnswer with the title only.") for i in IDEAS
]


class Engine:
    """Answers request number n with `reply(n)`, and keeps what it was asked."""

    kind = "fake"
    named = Loaded("me/writer", "abc", None, None)

    def __init__(self, reply: Callable[[int], str], ended: bool = True):
        self.reply, self.ended, self.asked = reply, ended, []

    def load(self):
        return self.named, self.write

    def write(self, loaded, prompts, seeds, sampling):
        first = len(self.asked)
        self.asked += prompts
        return [Completion(self.reply(first + i), self.ended) for i in range(len(prompts))]


def written(engine: Engine, number: int, prompts=PROMPTS) -> Written:
    *_, last = write_prompts(engine, prompts, number)
    return last


def test_the_text_that_all_prompts_share_is_not_the_models_to_write():
    form = Form.of(PROMPTS)
    assert form.start == "Write a title for a video about: "
    assert form.end == "\nAnswer with the title only."
    assert form.parts == IDEAS
    prompt = form.prompt("old maps", "me/writer", "abc")
    assert prompt.text == "Write a title for a video about: old maps\nAnswer with the title only."
    assert (prompt.model, prompt.revision) == ("me/writer", "abc")


@pytest.mark.parametrize(
    ("texts", "shared"),
    [
        (["a b", "a b c"], ("a ", "")),
        (["what is x", "what if y"], ("what ", "")),
        (["one"], ("", "")),
        (["same", "same"], ("", "")),
        (["x y", "y"], ("", "")),
        (["tell a", "tell  a"], ("tell ", "")),
    ],
)
def test_what_is_shared_is_whole_words_and_leaves_each_prompt_something(texts, shared):
    form = Form.of([Prompt.of(t) for t in texts])
    assert all(form.parts)
    assert (form.start, form.end) == shared


def test_messages_before_the_last_are_kept():
    system = {"role": "system", "content": "You are terse."}
    chats = [
        Prompt.of([system, {"role": "user", "content": f"Name a {w}"}]) for w in ("fish", "sea")
    ]
    form = Form.of([*chats, Prompt.of("Something else entirely")])
    assert form.parts == ["fish", "sea"]
    assert form.prompt("bird", "m", "r").prompt == [
        system,
        {"role": "user", "content": "Name a bird"},
    ]


@pytest.mark.parametrize(
    "reply",
    [
        "old maps",
        '"old maps"',
        "- old maps",
        "12. old maps",
        "Write a title for a video about: old maps",
        "**old maps**\n\nI hope that helps!",
        "Write a title for a video about: old maps\nAnswer with the title only.",
    ],
)
def test_a_reply_is_parted_from_what_models_write_around_it(reply):
    assert Form.of(PROMPTS).part(reply) == "old maps"


def test_prompts_are_written_until_there_are_enough():
    subjects = [f"{w} {n} and its {x}" for n, (w, x) in enumerate(
        [("glacier", "melting"), ("market", "spices"), ("orchestra", "rehearsal"),
         ("subway", "architecture"), ("volcano", "eruption"), ("library", "manuscripts")] * 4)
    ]  # fmt: skip
    engine = Engine(lambda n: subjects[n % len(subjects)])
    result = written(engine, 5)
    assert len(result.prompts) == len(result.parts) == 5
    assert all(p.model == "me/writer" for p in result.prompts)
    assert {part in IDEAS for part in result.parts} == {False}
    request = engine.asked[0]
    assert {m["content"] for m in request if m["role"] == "assistant"} == set(IDEAS)
    assert [m["role"] for m in request] == ["user", "assistant"] * len(IDEAS) + ["user"]
    assert "Answer with the title only" not in str(request)


@pytest.mark.parametrize(
    ("reply", "ended", "reason"),
    [
        ("", True, "empty"),
        ("!!! ??? 123", True, "without a word"),
        ("green tea", True, "much like another prompt"),
        ("Green  Tea", True, "much like another prompt"),
        ("word " * 100, True, "much longer or shorter than the prompts there"),
        ("x", True, "much longer or shorter than the prompts there"),
        ("an entry that goes on", False, "cut off"),
    ],
)
def test_nonsense_is_left_out_counted_and_given_up_on(reply, ended, reason):
    engine = Engine(lambda n: reply, ended)
    result = written(engine, 3)
    assert result.prompts == []
    assert result.dropped == Counter({reason: 3 * TRIES})
    assert len(engine.asked) == 3 * TRIES


def test_prompts_that_are_like_each_other_count_once():
    engine = Engine(lambda n: "the lighthouse keepers of the northern isles" + "." * (n % 3))
    result = written(engine, 2)
    assert len(result.prompts) == 1
    assert result.dropped["much like another prompt"] == 2 * TRIES - 1


def test_what_a_model_wrote_is_no_example():
    more = [Prompt.of("Write a title for a video about: robots\nAnswer with the title only.",
                      model="me/writer", revision="abc")]  # fmt: skip
    engine = Engine(lambda n: "")
    written(engine, 1, [*PROMPTS, *more])
    assert not any("robots" in str(request) for request in engine.asked)


def test_a_project_without_prompts_has_nothing_to_write_more_of():
    with pytest.raises(UsageError, match="no prompts to write more like"):
        written(Engine(lambda n: "x"), 1, [])


def test_a_new_part_may_take_as_many_tokens_as_its_length_needs():
    assert Form.of(PROMPTS).tokens < len("how bridges stand") * 2
    long = [Prompt.of("x " * 5_000), Prompt.of("y " * 5_000)]
    assert Form.of(long).tokens == 1_024


def test_an_entry_of_one_line_ends_with_its_line():
    kinds = []
    engine = Engine(lambda n: "old maps")
    engine.write = lambda loaded, prompts, seeds, sampling: (
        kinds.append(type(sampling)) or [Completion("old maps", True) for _ in prompts]
    )
    written(engine, 1)
    written(engine, 1, [Prompt.of("one\ntwo"), Prompt.of("three\nfour")])
    assert kinds[0] is OneLine
    assert kinds[-1] is Sampling
