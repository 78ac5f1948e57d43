"""Labelling in Chromium: what was pressed is what is in Argilla, ledger and preferences."""

import json

import pytest

from palate.collect import importing
from palate.collect.importing import Imported
from palate.core import hub as calls
from palate.core import ledger
from palate.core.project import Project
from palate.core.schema import Candidate
from palate.report.export import export
from palate.web.serving import Space

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


# so many that what one has in hand leaves ten for the other, whatever the answers
@pytest.mark.parametrize("project", [30], indirect=True)
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

    events = Project.load(project.id).labels
    assert len(events) == 20
    assert {e.event_id for e in events} == {e.event_id for e in in_argilla()}
    assert [e.kind for e in events].count("tie") == 1
    assert len({e.annotator for e in events}) == 2
    assert not any(n in e.annotator for e in events for n in ("Ada", "Bo"))
    _, made = export(project.id)
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
    standing = ledger.standing_judgements(Project.load(project.id).labels)
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
    assert len(Project.load(project.id).labels) == 2


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
    assert len(Project.load(project.id).labels) == 4
    assert v.page.inner_text(".b-count").startswith("4 /")


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


def kinds(project) -> list[str]:
    return [e.kind for e in Project.load(project.id).labels]


def test_everything_a_person_can_say_by_keyboard(project, label_space, visit, in_argilla):
    v = visit(label_space.url, "Gil", DESK)
    v.ready()
    v.page.keyboard.press("c")
    v.write("Both are dull")
    v.press("b")
    v.ready()
    v.page.keyboard.press("f")
    v.write("A typo in A")
    shown = texts(v)
    v.ready()
    before = v.current()
    v.page.keyboard.press("w")
    v.write("A better answer")
    v.moved(before)
    v.press("x")
    v.press("ArrowDown")
    v.published()
    said = Project.load(project.id).labels
    assert [e.kind for e in said] == ["both_bad", "flag", "rewrite", "skip", "tie"]
    assert (said[0].comment, said[1].comment) == ("Both are dull", "A typo in A")
    assert {e.event_id for e in said} == {e.event_id for e in in_argilla()}
    _, made = export(project.id)
    better = [p for p in made.all() if p.chosen[0]["content"] == "A better answer"]
    assert {p.rejected[0]["content"] for p in better} == {shown["left"], shown["right"]}
    written = [c for c in Project.load(project.id).candidates if c.id == said[2].chosen]
    assert [(c.text, c.model) for c in written] == [("A better answer", None)]
    assert v.complaints == []


def test_everything_a_person_can_say_by_touch(project, label_space, visit):
    v = visit(label_space.url, "Hal", PHONE)
    v.tap("[data-act=bad]")
    for act, text in (("note", "Hm"), ("flag", "Odd")):
        v.ready()
        v.page.tap(".b-menu")
        v.page.tap(f".b-list [data-act={act}]")
        v.write(text)
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
        shown.append(texts(v))
        v.press("1")
    for want in reversed(shown):
        v.press("u")
        v.ready()
        assert texts(v) == want
    v.published()
    assert ledger.standing_judgements(Project.load(project.id).labels) == []


def test_differences_show_on_demand(project, label_space, visit):
    v = visit(label_space.url, "Jo", DESK)
    v.ready()
    shown = texts(v)
    v.page.keyboard.press("d")
    marks = v.page.eval_on_selector_all(".b-md mark", "all => all.map((m) => m.textContent)")
    assert sorted(marks) == sorted(shown[side].split()[1] for side in ("left", "right"))
    v.page.keyboard.press("d")
    assert v.page.locator(".b-md mark").count() == 0
    assert texts(v) == shown


def test_instructions_and_warm_up_come_first(project, argilla, visit, tmp_path, monkeypatch):
    gold = {"prompt": "Warm up", "chosen": "Good", "rejected": "Bad", "why": "Good is **good**"}
    files = {"guidelines.md": "Be *kind*.", "gold.jsonl": json.dumps(gold) + "\n"}
    calls.commit(project.id, "dataset", files, "Add guidelines and a warm-up")
    monkeypatch.setenv("PALATE_DATA", str(tmp_path / "data"))
    env = {"ARGILLA_API_URL": argilla.url, "ARGILLA_API_KEY": argilla.api_key}
    with Space("label", project.id, env=env, log=tmp_path / "label.log") as space:
        v = visit(space.url, "Kai", DESK)
        v.page.wait_for_selector(".b-dialog[open] em")
        v.page.keyboard.press("1")  # the page behind does not listen
        v.close()
        v.ready()
        shown = texts(v)
        assert shown["prompt"] == "Warm up"
        v.page.keyboard.press("1" if shown["left"] == "Bad" else "0")
        v.page.wait_for_selector(".b-dialog[open] strong")
        assert "The owner prefers" in v.page.inner_text(".b-dialog")
        v.close()
        v.ready()
        assert texts(v)["prompt"] != "Warm up"
        v.press("1")
        v.published()
        assert [e.purpose for e in Project.load(project.id).labels] == ["gold", "ask"]
        assert sum(map(len, export(project.id)[1].rows.values())) == 1
        v.page.reload()  # neither comes twice
        v.ready()
        assert v.page.locator(".b-dialog[open]").count() == 0
        assert texts(v)["prompt"] != "Warm up"


def test_two_tabs_and_two_devices_never_ask_the_same(project, label_space, visit):
    one = visit(label_space.url, "Lea", DESK)
    one.ready()
    tab = one.context.new_page()
    tab.goto(f"{label_space.url}/?as=Lea")
    tab.wait_for_selector(".b-dialog[open]")
    assert "another tab" in tab.inner_text(".b-dialog")
    two = visit(label_space.url, "Lea", PHONE)
    shown = []
    for _ in range(5):
        for v in (one, two):
            v.ready()
            shown.append(v.current())
            v.press("1")
    assert len(set(shown)) == 10
    one.page.close()
    tab.wait_for_function("document.querySelector('.ballot')?.dataset.aid")
    two.published()
    said = Project.load(project.id).labels
    assert len({e.pair_id for e in said}) == len(said) == 10
    assert len({e.annotator for e in said}) == 1


def test_what_the_server_refuses_is_kept_and_shown(project, label_space, visit):
    v = visit(label_space.url, "Max", DESK)
    v.ready()
    v.page.evaluate("""() => {
      const name = Object.keys(localStorage).find((k) => k.startsWith('palate:outbox')) ||
        'palate:outbox:/:label:Max'
      const event = { event_id: 'forged-event', assignment_id: 'ask:nothing:here', kind: 'label',
                      choice: 'left', strength: 9, milliseconds: 1 }
      localStorage.setItem(name, JSON.stringify([{ event, state: null, at: 0 }]))
    }""")
    v.press("1")
    v.page.wait_for_function("document.querySelector('.b-sync').textContent === '1 refused'")
    v.page.click(".b-sync")
    v.page.wait_for_selector(".b-refused li")
    assert "not yours" in v.page.inner_text(".b-refused")
    v.close()
    v.page.reload()
    v.ready()
    assert v.page.inner_text(".b-sync") == "1 refused"


def test_a_long_sitting_is_followed_by_a_suggestion(project, label_space, visit):
    v = visit(label_space.url, "Nia", DESK)
    v.ready()
    v.page.clock.install()
    v.page.reload()
    for _ in range(7):
        v.page.wait_for_function("document.querySelector('.ballot')?.dataset.aid")
        v.page.clock.run_for(4 * 60 * 1000)
        before = v.current()
        v.page.keyboard.press("1")
        v.page.clock.run_for(100)
        v.moved(before)
    assert "a short break" in v.page.inner_text(".b-toast")


def test_the_end_thanks_with_ones_own_figures(project, label_space, visit):
    v = visit(label_space.url, "Oz", DESK)
    for _ in range(60):
        v.page.wait_for_function(
            "['ready', 'empty'].includes(document.querySelector('.ballot')?.dataset.state)"
        )
        if v.page.get_attribute(".ballot", "data-state") == "empty":
            break
        v.press("1")
    v.page.wait_for_selector(".b-prompt .b-figures")
    thanks = v.page.inner_text(".b-prompt")
    v.published()
    said = Project.load(project.id).labels
    assert "Thank you" in thanks
    assert f"{len(said)}\npairs judged" in thanks
    # three candidates: two or three questions a prompt, and the rest follows
    asked = len({e.prompt_id for e in said})
    assert 2 * asked <= len(said) < 3 * asked
    assert f"+{3 * asked - len(said)}\nmore follow" in thanks
    _, made = export(project.id)
    assert len(made.all()) == 3 * asked
