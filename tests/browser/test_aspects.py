"""Two aspects in Chromium: the same keys and buttons, one aspect after the other."""

import re
from dataclasses import replace

import pytest
from axe_core import wrong_with
from devices import DESK, PHONE
from rich_ballot import opened

from palate.collect import importing
from palate.collect.importing import Imported
from palate.core import hub as client
from palate.core.ledger import standing_judgements
from palate.core.project import SETTINGS_FILE, Project, Settings
from palate.core.rounds import by_aspect
from palate.core.schema import Candidate, Prompt

pytestmark = [pytest.mark.browser, pytest.mark.slow]
TELLING = re.compile(r"/api/(me|next|events)\b")  # what the project's aspects are
ASKED = ".b-aspects [aria-current=step]"


@pytest.fixture
def project(hub, repo_id) -> Project:
    prompts = [Prompt.of(f"Prompt number {i}") for i in range(14)]
    candidates = [Candidate.of(p.id, f"Answer {n} to {p.text}") for p in prompts for n in "12"]
    settings = Settings(repeats=0.0, eval=0.1, aspects=("helpful", "safe"))
    importing.start_project(repo_id, prompts, settings)
    importing.add(repo_id, Imported([], candidates, []), "Add candidates")
    return Project.load(repo_id)


def asks(v, aspect: str) -> None:
    v.page.wait_for_selector(f'{ASKED}:text-is("{aspect}")')


def standing(project: Project) -> dict[str, list[tuple[str, str | None]]]:
    """Return the judgements of each aspect: kind and side."""
    found = {}
    for one in by_aspect(Project.load(project.id)):
        events = standing_judgements(one.labels)
        side = {e.event_id: {e.left: "left", e.right: "right"}.get(e.chosen) for e in events}
        found[one.aspect] = sorted((e.kind, side[e.event_id] or "") for e in events)
    return found


def test_by_keyboard_and_by_touch_with_undo(project, label_space, visit):
    desk = visit(label_space.url, "Ada", DESK)
    desk.ready()
    asks(desk, "helpful")
    desk.page.keyboard.press("ArrowLeft")
    asks(desk, "safe")
    assert desk.page.inner_text(".b-said") == "helpful: A: Better"
    desk.page.keyboard.press("u")  # within the pair nothing was recorded yet
    asks(desk, "helpful")
    desk.ready()
    desk.page.keyboard.press("ArrowRight")
    asks(desk, "safe")
    desk.press("t")
    asks(desk, "helpful")
    desk.page.keyboard.press("u")  # back to the last answer of the pair before
    asks(desk, "safe")
    assert desk.page.get_attribute(".b-aspects li", "data-said") == "B: Better"
    desk.press("ArrowLeft")
    desk.published()
    assert standing(project) == {"helpful": [("label", "right")], "safe": [("label", "left")]}

    phone = visit(label_space.url, "Bo", PHONE)
    phone.ready()
    phone.page.tap(".b-scale[data-side=left] [data-v='3']")
    asks(phone, "safe")
    phone.tap(".b-even [data-act=skip]")
    phone.published()
    assert standing(project) == {
        "helpful": [("label", "left"), ("label", "right")],
        "safe": [("label", "left"), ("skip", "")],
    }
    assert (desk.complaints + phone.complaints, desk.strangers + phone.strangers) == ([], [])


def test_a_pair_that_was_left_halfway_is_asked_again_from_the_start(project, label_space, visit):
    v = visit(label_space.url, "Cy", DESK)
    v.ready()
    first = v.current()
    v.page.keyboard.press("ArrowLeft")
    asks(v, "safe")
    v.page.reload()
    v.ready()
    asks(v, "helpful")
    assert v.current() == first
    v.page.keyboard.press("ArrowRight")
    asks(v, "safe")
    v.press("ArrowRight")
    v.published()
    assert standing(project) == {"helpful": [("label", "right")], "safe": [("label", "right")]}


def test_an_open_page_is_loaded_again_when_the_aspects_change(project, label_space, visit):
    v = visit(label_space.url, "Di", DESK)
    v.ready()
    label_space.stop()
    settings = replace(project.settings, aspects=("kind", "safe"))
    client.commit(project.id, "dataset", {SETTINGS_FILE: settings.dump()}, "Other aspects")
    first = v.current()
    v.page.keyboard.press("ArrowLeft")
    asks(v, "safe")
    v.press("ArrowLeft")  # kept in the browser
    label_space.start()
    again = '.b-dialog[open] a:text-is("Load again")'
    v.page.wait_for_selector(again, timeout=60000)
    before = v.current()
    v.page.keyboard.press("ArrowLeft")  # is no answer while the dialog is open
    v.page.keyboard.press("Escape")
    assert v.current() == before
    v.page.click(again)
    v.ready()
    asks(v, "kind")
    v.page.wait_for_selector('.b-sync :text-is("1 refused")', state="attached")
    others = set()
    while v.current() != first:  # the pair of the refused answer comes again
        assert v.current() not in others
        others.add(v.current())
        answer(v, "kind", "safe")
        v.ready()
    answer(v, "kind", "safe")
    v.page.wait_for_selector('.b-sync :text-is("1 refused")', state="attached")


def answer(v, *aspects: str) -> None:
    """Prefer the left answer in each aspect."""
    before = v.current()
    for aspect in aspects:
        asks(v, aspect)
        v.ready()
        v.page.keyboard.press("ArrowLeft")
    v.moved(before)


def test_axe_finds_nothing_in_four_long_aspects(page):
    names = ["helpful", "safe", "tone-of-voice-in-general", "a-name-of-24-characters-"[:23]]

    def answer(route) -> None:
        route.fulfill(json=route.fetch().json() | {"aspects": names})

    page.route(TELLING, answer)
    opened(page, "Aspects")
    page.keyboard.press("ArrowLeft")
    page.wait_for_selector(f'{ASKED}:text-is("safe")')
    wrong = wrong_with(page, "aspects")
    page.keyboard.press("?")
    page.wait_for_selector(f'.b-dialog[open] p:has-text("{", ".join(names)}")')
    wrong += wrong_with(page, "aspects-help")
    page.keyboard.press("Escape")
    page.unroute(TELLING)
    assert wrong == []
