"""Which completions are left out, each for a reason that is counted."""

from collections import Counter

import pytest

from palate.core.errors import UsageError
from palate.core.schema import Prompt
from palate.generate.filters import Filters
from palate.generate.generation import Completion, Sampling, generate
from palate.generate.models import Loaded


@pytest.mark.parametrize(
    ("filters", "text", "reason"),
    [
        (Filters(shortest=5), "four", "shorter than 5 characters"),
        (Filters(shortest=4), "four", None),
        (Filters(longest=4), "fives", "longer than 4 characters"),
        (Filters(longest=4), "four", None),
        (Filters(forbid=("art",)), "How to start", None),
        (Filters(forbid=("art",)), "ART for all", "with 'art'"),
        (Filters(forbid=("click here",)), "Please Click here!", "with 'click here'"),
        (Filters(forbid=("c++",)), "Learn C++ now", "with 'c++'"),
        (Filters(forbid=("犬",)), "犬", "with '犬'"),
        (Filters(match=r"[A-Z].*\?"), "Why tea?", None),
        (Filters(match=r"[A-Z].*\?"), "Why tea? Because.", "not of the format"),
        (Filters(match=r"- .*"), "- one\n- two", None),
    ],
)
def test_a_filter_says_why(filters, text, reason):
    assert filters.problem(text) == reason


@pytest.mark.parametrize(
    "wrong",
    [
        {"longest": 3, "shortest": 4},
        {"longest": 0},
        {"match": "("},
        {"match": "(" * 5000},
        {"forbid": (" ",)},
    ],
)
def test_filters_that_nothing_can_pass_are_wrong_usage(wrong):
    with pytest.raises(UsageError, match="--"):
        Filters(**wrong)


def test_what_is_left_out_is_replaced_and_counted():
    texts = iter(["bad", "Ten ways to make tea", "Ten ways to make tea.", "A cup of coffee", "Why"])

    def write(loaded, prompts, seeds, sampling):
        return [Completion(next(texts), True) for _ in seeds]

    dropped: Counter[str] = Counter()
    filters = Filters(forbid=("bad",), distinct=True)
    loaded, prompt = Loaded("a/b", "r", None, None), Prompt.of("Tea")
    (made,) = generate(
        loaded, [[prompt]], 2, [Sampling()], dropped=dropped, write=write, filters=filters
    )
    assert [c.text for c in made[prompt.id]] == ["Ten ways to make tea", "A cup of coffee"]
    assert dropped == {"with 'bad'": 1, "much like another": 1}
