"""The first words of the verdict page, and what it says to do next: they follow from the votes."""

from dataclasses import replace
from types import SimpleNamespace

import pytest
from verdicts import counted, events

from palate.web.voting.result import next_step
from palate.web.voting.words import headline


@pytest.mark.parametrize(
    ("outcomes", "left", "answer", "link"),
    [
        ("wW" * 20, 0, "Yes, to the person who voted.", "Open the tuned model"),
        ("lL" * 20, 0, "No: to the person who voted, the base model is better.",
         "Open the project"),
        ("wl" * 400, 0, "No: to the person who voted, neither is meaningfully better.",
         "Open the project"),
        ("wWl" * 5, 40, "Not known yet.", "Voting page"),
        ("wWl" * 5, 0, "Not known yet.", "Open the project"),
        ("wL" * 20, 0, "Not known yet.", "Open the project"),
        ("Wl" * 90 + "W" * 100, 0, "Not known yet.", "Voting page"),  # one side, and one model
    ],
)  # fmt: skip
def test_headline_and_next_step_agree(outcomes, left, answer, link):
    v = counted(*events(outcomes, prompts=1000))
    ballot = SimpleNamespace(project_id="me/titles", unvoted=lambda: left, card="/card")
    assert headline(v).text == answer
    assert next_step(ballot, v).name.text == link


@pytest.mark.parametrize(
    ("safe", "link"), [("wW" * 20, "Open the tuned model"), ("lL" * 20, "Open the project")]
)
def test_the_tuned_model_is_recommended_only_if_it_is_better_in_every_aspect(safe, link):
    parts = {a: counted(*events(o)) for a, o in (("helpful", "wW" * 20), ("safe", safe))}
    other = replace(parts["safe"], aspect="safe")
    v = replace(parts["helpful"], aspect="helpful", others=(other,))
    ballot = SimpleNamespace(project_id="me/titles", unvoted=lambda: 0, card="/card")
    assert next_step(ballot, v).name.text == link
