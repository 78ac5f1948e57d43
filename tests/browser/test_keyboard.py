"""The project's home by keyboard alone: seven tabs, every control in them, and the dialogs."""

import pytest
from devices import DESK
from keyboard import go_to, has_focus, wrong_by_tab
from samples import event

from palate.core import hub as client
from palate.core import ledger
from palate.core.ledger import standing_judgements
from palate.core.project import Project
from palate.core.schema import pairs_of

pytestmark = [pytest.mark.browser, pytest.mark.slow]
OUTSIDE = """(dialog) => document.activeElement !== document.body
  && !document.activeElement.closest(dialog)"""
LOADED = {
    "home": "#next button.go", "labels": "#list button", "flags": "#remarks button",
    "people": "#people table", "instructions": "#save:enabled",
    "settings": "#settings input[name=people]:enabled", "jobs": "#jobs-list li",
}  # fmt: skip


@pytest.fixture
def labelled(project) -> Project:
    """One person's labels, one of them with a note."""
    train = {p.id for p in project.prompts if p.split == "train"}
    first = [c for c in project.candidates if c.text.startswith(("Answer 1", "Answer 2"))]
    pairs = [p for p in pairs_of(first) if p.prompt_id in train]
    rows = [
        event(p, annotator="p-ada", chosen=p.a, sequence=n, comment="Why?" if n == 1 else None)
        for n, p in enumerate(pairs, 1)
    ]
    client.commit(project.id, "dataset", {"labels/a.jsonl": ledger.jsonl(rows)}, "Add")
    return Project.load(project.id)


def to_tab(page, name: str) -> None:
    go_to(page, f".tabs a[href='#{name}']")
    page.keyboard.press("Enter")
    page.wait_for_selector(f"#{name} {LOADED[name].removeprefix(f'#{name} ')}", timeout=60000)


def trapped(page, dialog: str) -> list[str]:
    """Return what is wrong with the Tab key in an open dialog, which is to keep the focus."""
    wrong = wrong_by_tab(page, dialog, stops=16)
    for _ in range(16):
        page.keyboard.press("Tab")
        if page.evaluate(OUTSIDE, dialog):
            wrong.append("the focus leaves the dialog")
    return wrong


def escape(page, dialog: str, opener: str) -> None:
    page.keyboard.press("Escape")
    page.wait_for_selector(f"{dialog}:not([open])", state="attached")
    has_focus(page, opener)


def test_home_is_used_by_keyboard_alone(labelled, label_space, visit):
    page = visit(label_space.url, "Owner", DESK).page
    page.goto(label_space.owner_url)
    page.wait_for_selector(LOADED["home"])
    wrong = []
    for name in LOADED:
        to_tab(page, name)
        wrong += [f"{name}: {line}" for line in wrong_by_tab(page, f"#{name}")]
    assert wrong == []
    assert page.evaluate("[...document.querySelectorAll('.tabs a:not([data-tabbed])')].length") == 0

    to_tab(page, "labels")
    go_to(page, "#list li:nth-child(2) button")
    page.keyboard.press("Enter")
    page.wait_for_selector("#pair[open] .fix")
    assert trapped(page, "#pair") == []
    escape(page, "#pair", "#list li:nth-child(2) button")
    page.keyboard.press("Enter")
    page.wait_for_selector("#pair[open] .fix")
    go_to(page, "#pair button:nth-child(3)")  # a tie
    page.keyboard.press("Enter")
    page.wait_for_selector("#pair:has-text('corrected by an owner')")
    has_focus(page, "#pair .fix button")
    escape(page, "#pair", "#list button")  # the list was drawn again meanwhile

    to_tab(page, "people")
    go_to(page, "#people button[data-who]")
    page.keyboard.press("Space")
    page.wait_for_selector("#who[open]")
    has_focus(page, "#who .no")
    assert trapped(page, "#who") == []
    escape(page, "#who", "#people button[data-who]")

    to_tab(page, "flags")
    go_to(page, "#remarks button:last-child")
    page.keyboard.press("Enter")
    page.wait_for_selector("#remarks button:has-text('Not done')")
    has_focus(page, "#remarks button:has-text('Not done')")

    to_tab(page, "home")
    go_to(page, "#next button.go")  # rebuilds the preferences
    page.keyboard.press("Enter")
    page.wait_for_selector("#loop .next:has-text('model')", timeout=60000)
    has_focus(page, "#next button.go")
    go_to(page, "#pause button")
    page.keyboard.press("Enter")
    page.wait_for_selector("#pause button:text-is('Resume labelling')", timeout=60000)
    has_focus(page, "#pause button")
    loaded = Project.load(labelled.id)
    assert loaded.settings.paused
    assert [e.via for e in standing_judgements(loaded.labels)].count("owner") == 1


def test_a_plan_opens_and_closes_by_keyboard(labelled, label_space, visit):
    page = visit(label_space.url, "Owner", DESK).page
    plan = {"text": "machine: cpu-basic, about 2 min, $0.01"}
    page.route("**/owner/plan*", lambda route: route.fulfill(json=plan))
    said = {"text": "https://hub/jobs/me/0123456789abcdef"}
    page.route("**/owner/start*", lambda route: route.fulfill(json=said))
    page.goto(f"{label_space.owner_url}#jobs")
    go_to(page, "#start button:nth-child(2)")
    page.keyboard.press("Enter")
    page.wait_for_selector("#plan[open]")
    assert trapped(page, "#plan") == []
    escape(page, "#plan", "#start button:nth-child(2)")
    page.keyboard.press("Enter")
    page.wait_for_selector("#plan[open]")
    go_to(page, "#plan button.go")
    page.keyboard.press("Enter")
    page.wait_for_selector("#plan:not([open])", state="attached")
    has_focus(page, ".tabs a[href='#jobs']")
