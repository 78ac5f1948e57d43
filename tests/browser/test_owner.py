"""The owner's page in Chromium: a person is excluded there, and counts again."""

import pytest
from axe_core import wrong_with
from devices import DESK, PHONE

from palate.core.project import Project

pytestmark = [pytest.mark.browser, pytest.mark.slow]
ROW = "tr:has(td:text('{}')) button"


@pytest.mark.parametrize("device", [DESK, PHONE])
def test_an_owner_excludes_a_person_and_counts_them_again(project, label_space, visit, device):
    v = visit(label_space.url, "Mallory", DESK)
    v.press("ArrowLeft")
    v.published()
    (event,) = Project.load(project.id).labels
    page = visit(label_space.url, "Owner", device).page
    page.goto(f"{label_space.owner_url}#people")
    assert "1 judgement on 1 pair by 1 person" in page.inner_text("main")
    page.click(ROW.format("Mallory"))
    assert page.inner_text("#who h2") == "Exclude Mallory?"
    command = f"palate exclude {project.id} {event.annotator}"
    assert page.inner_text("#who code") == command
    assert wrong_with(page, "exclude") == []
    page.click("#who .no")
    assert Project.load(project.id).people.excluded == frozenset()
    page.click(ROW.format("Mallory"))
    page.click("#who .go")
    page.wait_for_selector("h2:text-is('Excluded')", timeout=60000)
    assert "1 judgement" not in page.inner_text("main")
    wrong = wrong_with(page, "people-excluded")
    excluded = Project.load(project.id)
    assert excluded.people.excluded == {event.annotator}
    assert excluded.labels == ()
    v.page.reload()
    v.page.wait_for_selector(".b-dialog[open]  h2:text('Invitation only')")
    page.click(ROW.format("Mallory"))
    assert page.inner_text("#who h2") == "Count the answers of Mallory again?"
    assert page.inner_text("#who code") == f"{command} --undo"
    wrong += wrong_with(page, "count-again")
    assert wrong == []
    page.click("#who .go")
    page.wait_for_selector("h2:text-is('Excluded')", state="detached", timeout=60000)
    page.wait_for_selector("main :text('1 judgement on 1 pair by 1 person')", timeout=60000)
    assert [e.event_id for e in Project.load(project.id).labels] == [event.event_id]
