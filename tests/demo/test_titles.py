"""The shipped titles: many, all different, plain text, and varied enough to have a taste about."""

import re

import pytest

from palate.demo.titles import corpus, prompt_for, titles, topics

TITLES = [title for _, title in titles()]


def test_there_are_five_titles_for_each_of_300_topics():
    assert len(topics()) >= 300
    assert len(set(topics())) == len(topics())
    assert {len(group) for group in corpus().values()} == {5}
    assert [topic for topic, _ in titles()][::5] == topics()


def test_no_two_titles_are_the_same():
    plain = [re.sub(r"\W+", " ", t.casefold()).strip() for t in TITLES]
    assert len(set(plain)) == len(plain)


def test_titles_are_plain_text_of_a_title_s_length():
    for text in TITLES + topics():
        assert text.isascii()
        assert text == " ".join(text.split())
    assert {t for t in TITLES if not 15 <= len(t) <= 80} == set()


@pytest.mark.parametrize(
    ("what", "pattern", "low", "high"),
    [
        ("a digit", r"\d", 0.2, 0.35),
        ("a question", r"\?$", 0.2, 0.35),
        ("a colon", ":", 0.25, 0.35),
        ("how or why", r"^(How|Why)\b", 0.2, 0.35),
        ("you", r"\b[Yy]ou", 0.1, 0.25),
        ("five words or fewer", r"^\S+( \S+){,4}$", 0.05, 0.2),
        ("ten words or more", r"^\S+( \S+){9,}$", 0.05, 0.2),
    ],
)
def test_titles_are_varied(what: str, pattern: str, low: float, high: float):
    share = sum(bool(re.search(pattern, t)) for t in TITLES) / len(TITLES)
    assert low < share < high, what


def test_most_titles_name_their_topic():
    def named(topic: str, title: str) -> bool:
        return any(w[:5] in title.lower() for w in re.findall(r"\w{4,}", topic.lower()))

    assert sum(named(*pair) for pair in titles()) > 0.75 * len(TITLES)


def test_the_prompt_holds_the_topic():
    assert prompt_for("tides") == "Write a title for a video about tides."
