"""Labelling in Chromium: what was pressed is what is in Argilla, ledger and preferences."""

import pytest

from palate import importing, ledger
from palate.importing import Imported
from palate.project import Project
from palate.schema import Candidate

pytestmark = [pytest.mark.browser, pytest.mark.slow]
DESK = {"viewport": {"width": 1280, "height": 800}}
PHONE = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True}
KEYS = ["ArrowLeft", "ArrowRight", "1", "0", "2", "9", "8", "ArrowDown", "4", "7"]
MEANS = {  # key → (side, strength)
    "ArrowLeft": ("left", 3), "ArrowRight": ("right", 3), "1": ("left", 4), "0": ("right", 4),
    "2": ("left", 3), "9": ("right", 3), "8": ("right", 2), "4": ("left", 1), "7": ("right", 1),
}  # fmt: skip


def texts(visit) -> dict[str, str]:
    return {
        side: visit.page.inner_text(f"[data-f={side}]").strip()
        for side in ("prompt", "left", "right")
    }


def test_ten_by_keyboard_and_ten_by_touch(project, label_space, visit, in_argilla):
    desk = visit(label_space.url, "Ada", DESK)
    said: list[tuple[str, str, int]] = []  # what was on screen: chosen, rejected, strength
    for key in KEYS:
        desk.ready()
        shown = texts(desk)
        desk.press(key)
        if key != "ArrowDown":
            side, strength = MEANS[key]
            other = "right" if side == "left" else "left"
            said.append((shown[side], shown[other], strength))
    desk.published()
    phone = visit(label_space.url, "Bo", PHONE)
    for i in range(10):
        phone.ready()
        shown = texts(phone)
        side, other = ("left", "right") if i % 2 else ("right", "left")
        phone.tap(f".b-scale[data-side={side}] [data-v='{1 + i % 4}']")
        said.append((shown[side], shown[other], 1 + i % 4))
    phone.published()
    clipped = "document.scrollingElement.scrollWidth > innerWidth"
    assert not phone.page.evaluate(clipped)
    assert (desk.complaints, desk.strangers) == ([], [])
    assert (phone.complaints, phone.strangers) == ([], [])

    events = Project.load(project.id).rows("labels")
    assert len(events) == 20
    assert {e.event_id for e in events} == {e.event_id for e in in_argilla()}
    assert [e.kind for e in events].count("tie") == 1
    assert len({e.annotator for e in events}) == 2
    assert not any(n in e.annotator for e in events for n in ("Ada", "Bo"))
    _, made = ledger.export(project.id)
    rows = [
        (p.chosen[0]["content"], p.rejected[0]["content"], p.strength)
        for p in made.all()
        if p.source == "human"
    ]
    assert sorted(rows) == sorted(said)


def test_undo_takes_back_and_asks_again(project, label_space, visit):
    v = visit(label_space.url, "Cy", DESK)
    v.press("ArrowLeft")
    v.ready()
    second = texts(v)
    v.press("ArrowRight")
    v.press("u")
    v.ready()
    assert texts(v) == second
    v.press("ArrowDown")
    v.published()
    standing = ledger.live(Project.load(project.id).rows("labels"))
    assert sorted(e.kind for e in standing) == ["label", "tie"]


def test_a_double_click_and_a_held_key_say_one_thing(project, label_space, visit):
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
    assert len(Project.load(project.id).rows("labels")) == 2


def test_what_was_said_offline_arrives_once_after_a_reload(project, label_space, visit):
    v = visit(label_space.url, "Ed", DESK)
    v.press("ArrowLeft")
    v.published()
    v.context.set_offline(True)
    for key in ("ArrowLeft", "ArrowRight", "ArrowDown"):
        v.press(key)
    assert "3 to send" in v.page.inner_text(".b-sync")
    v.page.close()
    v.context.set_offline(False)
    v.page = v.context.new_page()
    v.page.goto(f"{label_space.url}/?as=Ed")
    v.ready()
    v.published()
    assert len(Project.load(project.id).rows("labels")) == 4
    assert v.page.inner_text(".b-count").startswith("4 /")


def test_hostile_text_is_only_text(project, argilla, visit, tmp_path, monkeypatch):
    from palate.serving import Space

    labelled = next(p for p in project.rows("prompts") if p.split == "train")
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
            shown = texts(v)
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
