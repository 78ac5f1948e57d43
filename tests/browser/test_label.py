"""Labelling in Chromium: what was pressed is what is in Argilla, ledger and preferences."""

from contextlib import closing

import pytest
from axe_core import wrong_with
from bad_hub import BadHub
from devices import DESK, PHONE

from palate.collect import importing
from palate.collect.importing import Imported
from palate.core import ledger
from palate.core.project import Project
from palate.core.schema import Candidate
from palate.report.export import export
from palate.web.serving import Space

pytestmark = [pytest.mark.browser, pytest.mark.slow]
KEYS = ["ArrowLeft", "ArrowRight", "1", "0", "2", "9", "8", "ArrowDown", "4", "7"]
MEANS = {  # key → (side, strength)
    "ArrowLeft": ("left", 3), "ArrowRight": ("right", 3), "1": ("left", 4), "0": ("right", 4),
    "2": ("left", 3), "9": ("right", 3), "8": ("right", 2), "4": ("left", 1), "7": ("right", 1),
}  # fmt: skip


# so many that what one has in hand leaves ten for the other, whatever the answers
@pytest.mark.parametrize("project", [30], indirect=True)
def test_ten_by_keyboard_and_ten_by_touch(project, label_space, visit, in_argilla):
    desk = visit(label_space.url, "Ada", DESK)
    choices: list[tuple[str, str, int]] = []  # what was on screen: chosen, rejected, strength
    for key in KEYS:
        desk.ready()
        shown = desk.texts()
        desk.press(key)
        if key != "ArrowDown":
            side, strength = MEANS[key]
            other = "right" if side == "left" else "left"
            choices.append((shown[side], shown[other], strength))
    desk.published()
    phone = visit(label_space.url, "Bo", PHONE)
    for i in range(10):
        phone.ready()
        shown = phone.texts()
        side, other = ("left", "right") if i % 2 else ("right", "left")
        phone.tap(f".b-scale[data-side={side}] [data-v='{1 + i % 4}']")
        choices.append((shown[side], shown[other], 1 + i % 4))
    phone.published()
    clipped = "document.scrollingElement.scrollWidth > innerWidth"
    assert not phone.page.evaluate(clipped)
    assert (desk.complaints, desk.strangers) == ([], [])
    assert (phone.complaints, phone.strangers) == ([], [])

    events = Project.load(project.id).labels
    assert len(events) == 20
    assert {e.event_id for e in events} == {e.event_id for e in in_argilla()}
    assert [e.kind for e in events].count("tie") == 1
    assert len({e.annotator for e in events}) == 2
    assert not any(n in e.annotator for e in events for n in ("Ada", "Bo"))
    _, preferences = export(project.id)
    rows = [
        (p.chosen[0]["content"], p.rejected[0]["content"], p.strength)
        for p in preferences.all()
        if p.source == "human"
    ]
    assert sorted(rows) == sorted(choices)


def test_undo_takes_back_and_asks_again(project, label_space, visit):
    v = visit(label_space.url, "Cy", DESK)
    v.press("ArrowLeft")
    v.ready()
    second = v.texts()
    v.press("ArrowRight")
    v.press("u")
    v.ready()
    assert v.texts() == second
    assert wrong_with(v.page, "label-undone") == []
    v.press("ArrowDown")
    v.published()
    events = Project.load(project.id).labels
    assert sorted(e.kind for e in ledger.standing_judgements(events)) == ["label", "tie"]
    assert {e.kind: e.sequence for e in events if e.kind != "label"} == {"undo": 3, "tie": 4}


def test_what_was_taken_back_before_argilla_answered_is_taken_back(
    project, argilla, visit, tmp_path, monkeypatch
):
    monkeypatch.setenv("PALATE_DATA", str(tmp_path))
    with closing(BadHub(argilla.url)) as proxy:
        proxy.spoil("an error", 10**6)
        env = {"ARGILLA_API_URL": proxy.url, "ARGILLA_API_KEY": argilla.api_key}
        with Space("label", project.id, env=env, log=tmp_path / "label.log") as space:
            v = visit(space.url, "Cy", DESK)
            for key in ("ArrowLeft", "ArrowRight"):
                v.press(key)
            with v.page.expect_response("**/api/events"):
                pass  # the server was told, and keeps nothing yet
            v.press("u")
            v.press("ArrowDown")
            v.page.wait_for_selector('.b-sync :text-is("4 to send")', state="attached")
            proxy.spoil("", 0)
            v.published()
    events = Project.load(project.id).labels
    assert [e.kind for e in sorted(events, key=lambda e: e.sequence)] == [
        "label", "label", "undo", "tie",
    ]  # fmt: skip
    assert sorted(e.kind for e in ledger.standing_judgements(events)) == ["label", "tie"]


def test_a_page_that_waited_learns_what_the_person_did_elsewhere(project, label_space, visit):
    desk, phone = (visit(label_space.url, "Cy", device) for device in (DESK, PHONE))
    desk.press("ArrowLeft")
    for _ in range(5):
        phone.press("ArrowRight")
    phone.published()
    desk.ready()
    later = "(now => { performance.now = () => now() + 3e5 })(performance.now.bind(performance))"
    desk.page.evaluate(later)
    with desk.page.expect_response("**/api/next"):
        desk.page.mouse.move(200, 200)
    desk.press("ArrowLeft")
    desk.published()
    events = Project.load(project.id).labels
    left = [e.sequence for e in events if e.chosen == e.left]
    assert left[-1] > max(e.sequence for e in events if e.chosen == e.right)


def test_a_double_click_and_a_held_key_give_one_answer(project, label_space, visit):
    v = visit(label_space.url, "Di", DESK)
    v.ready()
    before = v.current()
    v.page.dblclick(".b-scale[data-side=left] [data-v='3']")
    v.moved(before)
    v.ready()
    before = v.current()
    for _ in range(12):
        v.page.keyboard.down("ArrowRight")
    v.page.keyboard.up("ArrowRight")
    v.moved(before)
    v.published()
    assert len(Project.load(project.id).labels) == 2


def test_hostile_text_is_only_text(project, argilla, visit, tmp_path, monkeypatch):
    labelled = next(p for p in project.prompts if p.split == "train")
    hostile = [
        '<img src=x onerror="window.hurt=1"> <script>window.hurt=1</script> **bold**',
        "[a link](javascript:window.hurt=1) and \u202ebackwards and " + "w" * 5000,
    ]
    rows = [Candidate.of(labelled.id, text) for text in hostile]
    importing.add(project.id, Imported([], rows, []), "Add hostile candidates")
    monkeypatch.setenv("PALATE_DATA", str(tmp_path))
    env = {"ARGILLA_API_URL": argilla.url, "ARGILLA_API_KEY": argilla.api_key}
    seen: set[str] = set()
    with Space("label", project.id, env=env, log=tmp_path / "label.log") as space:
        v = visit(space.url, "Fi", DESK)
        for _ in range(60):
            v.ready()
            shown = v.texts()
            both = shown["left"] + shown["right"]
            seen |= {word for word in ("onerror", "backwards") if word in both}
            inside = "document.querySelectorAll('.b-md img, .b-md script').length"
            assert v.page.evaluate(inside) == 0
            assert v.page.evaluate("document.querySelectorAll('.b-md a[href^=java]').length") == 0
            assert "\u202e" not in both
            if len(seen) == 2:
                break
            v.press("1")
        assert len(seen) == 2
        assert v.page.evaluate("window.hurt") is None
        assert not v.page.evaluate("document.scrollingElement.scrollWidth > innerWidth")
        assert v.complaints == []


def kinds(project) -> list[str]:
    return [e.kind for e in Project.load(project.id).labels]


def test_every_answer_can_be_given_by_keyboard(project, label_space, visit, in_argilla):
    v = visit(label_space.url, "Gil", DESK)
    v.ready()
    v.page.keyboard.press("c")
    v.write("Both are dull")
    v.press("b")
    v.ready()
    v.page.keyboard.press("f")
    v.write("A typo in A")
    shown = v.texts()
    v.ready()
    before = v.current()
    v.page.keyboard.press("w")
    v.write("A better answer")
    v.moved(before)
    v.press("x")
    v.press("ArrowDown")
    v.published()
    labels = Project.load(project.id).labels
    assert [e.kind for e in labels] == ["both_bad", "flag", "rewrite", "skip", "tie"]
    assert (labels[0].comment, labels[1].comment) == ("Both are dull", "A typo in A")
    assert {e.event_id for e in labels} == {e.event_id for e in in_argilla()}
    _, preferences = export(project.id)
    better = [p for p in preferences.all() if p.chosen[0]["content"] == "A better answer"]
    assert {p.rejected[0]["content"] for p in better} == {shown["left"], shown["right"]}
    written = [c for c in Project.load(project.id).candidates if c.id == labels[2].chosen]
    assert [(c.text, c.model) for c in written] == [("A better answer", None)]
    assert v.complaints == []


def test_every_answer_can_be_given_by_touch(project, label_space, visit):
    v = visit(label_space.url, "Hal", PHONE)
    v.tap("[data-act=bad]")
    for act, text in (("note", "Hm"), ("flag", "Odd")):
        v.ready()
        v.page.tap(".b-menu")
        v.page.tap(f".b-list [data-act={act}]")
        v.write(text)
    assert wrong_with(v.page, "label-noted") == []
    v.tap("[data-act=skip]")
    v.ready()
    before = v.current()
    v.page.tap(".b-menu")
    v.page.tap(".b-list [data-act=rewrite]")
    v.write("Better")
    v.moved(before)
    v.tap("[data-act=undo]")
    v.published()
    assert kinds(project) == ["both_bad", "flag", "skip", "rewrite", "undo"]
    assert [e.comment for e in Project.load(project.id).labels][1:3] == ["Odd", "Hm"]
    assert v.complaints == []


def test_undo_goes_as_deep_as_the_session(project, label_space, visit):
    v = visit(label_space.url, "Ida", DESK)
    shown = []
    for _ in range(6):
        v.ready()
        shown.append(v.texts())
        v.press("1")
    for want in reversed(shown):
        v.press("u")
        v.ready()
        assert v.texts() == want
    v.published()
    assert ledger.standing_judgements(Project.load(project.id).labels) == []


def test_differences_show_on_demand(project, label_space, visit):
    v = visit(label_space.url, "Jo", DESK)
    v.ready()
    shown = v.texts()
    v.page.keyboard.press("d")
    marks = v.page.eval_on_selector_all(".b-md mark", "all => all.map((m) => m.textContent)")
    assert sorted(marks) == sorted(shown[side].split()[1] for side in ("left", "right"))
    v.page.keyboard.press("d")
    assert v.page.locator(".b-md mark").count() == 0
    assert v.texts() == shown
