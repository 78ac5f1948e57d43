"""Words of the verdict page: English from the server, with what other languages need."""

import json
from html.parser import HTMLParser

import pytest

from palate.web.ballot.render import template
from palate.web.voting.words import say


@pytest.mark.parametrize(
    ("line", "text"),
    [
        (say("v_lead", votes=1, people=1, rate=1.0),
         "Of the 1 vote by 1 person so far, it won 100%."),
        (say("v_lead_ties", votes=1200, people=2, rate=0.625),
         "Of the 1,200 votes by 2 people so far, it won 62%, counting a tie as half."),
        (say("v_no_base", voters=say("v_voters", n=1000)),
         "No: to the 1,000 people who voted, the base model is better."),
        (say("v_track_known", rate=0.0, low=0.0, high=0.3055),
         "Tuned preferred in 0% of votes, 95% interval 0.0%–30.6%; 50% means no difference"),
        (say("v_tile_votes", wins=0, losses=0, ties=1),
         "votes: 0 for tuned, 0 for base, 1 tie"),
        (say("v_over", name="<b>{n}</b>"), "over <b>{n}</b>"),
    ],
)  # fmt: skip
def test_a_line_says_its_values(line, text):
    assert line.text == text


def test_a_line_is_one_harmless_element_that_names_its_words_and_values():
    name = "</span><script>\"'&"
    (span,) = elements(say("v_over", name=name).__html__())
    assert span["data-t"] == "v_over"
    assert json.loads(span["data-values"]) == {"name": name}
    (nested,) = elements(say("v_yes", voters=say("v_voters", n=2)).__html__())
    voters = {"name": "v_voters", "values": {"n": 2}}
    assert json.loads(nested["data-values"]) == {"voters": voters}
    (label,) = elements(f"<i {say('v_over', name=name).label}></i>")
    assert label["aria-label"] == f"over {name}"


def test_a_page_that_refuses_says_so_in_any_language():
    page = template("not-yet.html").render(say=say)
    assert "open “Your session” and choose “Stop voting and see the result”." in page
    named = [e["data-t"] for e in elements(page) if "data-t" in e]
    assert named == ["early_title", "early_title", "early_text", "early_back"]


def elements(text: str) -> list[dict[str, str]]:
    """Return the attributes of the elements that have any."""
    found: list[dict[str, str]] = []

    class Parser(HTMLParser):
        def handle_starttag(self, tag, attrs):
            found.append(dict(attrs))

    Parser().feed(text)
    return [e for e in found if e]
