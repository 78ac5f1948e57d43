"""A sitting from its instructions to its end, over several tabs, devices and networks."""

import json

import pytest
from devices import DESK, PHONE

from palate.core import hub as calls
from palate.core.project import Project
from palate.report.export import export
from palate.web.serving import Space

pytestmark = [pytest.mark.browser, pytest.mark.slow]


def test_offline_answers_arrive_once_after_a_reload(project, label_space, visit):
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
        prompts = []
        while "Warm up" not in prompts:  # it is one of the first
            v.ready()
            shown = v.texts()
            prompts.append(shown["prompt"])
            v.press("1" if shown["left"] == "Bad" else "0")
        assert len(prompts) <= 8
        v.page.wait_for_selector(".b-dialog[open] strong")
        assert "the owner prefers" in v.page.inner_text(".b-dialog")
        assert v.page.inner_text(".b-asked") == "Warm up"
        v.close()
        v.published()
        purposes = [e.purpose for e in Project.load(project.id).labels]
        assert sorted(purposes) == ["ask"] * (len(prompts) - 1) + ["gold"]
        assert export(project.id)[1].left_out["warm-up"] == 1
        v.page.reload()  # neither comes twice
        v.ready()
        assert v.page.locator(".b-dialog[open]").count() == 0
        assert v.texts()["prompt"] != "Warm up"


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
    tab.wait_for_selector('.ballot[data-aid]:not([data-aid=""])')
    two.published()
    labels = Project.load(project.id).labels
    assert len({e.pair_id for e in labels}) == len(labels) == 10
    assert len({e.annotator for e in labels}) == 1


def test_refused_events_are_kept_and_shown(project, label_space, visit):
    v = visit(label_space.url, "Max", DESK)
    v.ready()
    v.page.evaluate("""async () => {
      const { browser } = await (await fetch('/api/me')).json()
      const name = `palate:outbox:${browser}:Max`
      const event = { event_id: 'forged-event', assignment_id: 'ask:nothing:here', kind: 'label',
                      choice: 'left', strength: 9, milliseconds: 1 }
      localStorage.setItem(name, JSON.stringify([{ event, state: null, at: 0 }]))
    }""")
    v.press("1")
    v.page.wait_for_selector('.b-sync :text-is("1 refused")', state="attached")
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
        v.page.wait_for_selector('.ballot[data-aid]:not([data-aid=""])')
        v.page.clock.run_for(4 * 60 * 1000)
        before = v.current()
        v.page.keyboard.press("1")
        v.page.clock.run_for(100)
        v.moved(before)
    assert "a short break" in v.page.inner_text(".b-toast")


def test_the_end_thanks_with_ones_own_figures(project, label_space, visit):
    v = visit(label_space.url, "Oz", DESK)
    for _ in range(60):
        v.page.wait_for_selector(".ballot:is([data-state=ready], [data-state=empty])")
        if v.page.get_attribute(".ballot", "data-state") == "empty":
            break
        v.press("1")
    v.page.wait_for_selector(".b-prompt .b-figures")
    thanks = v.page.inner_text(".b-prompt")
    v.published()
    labels = Project.load(project.id).labels
    assert "Thank you" in thanks
    assert f"Pairs judged\n{len(labels)}" in thanks
    # three candidates: two or three questions a prompt, and the rest follows
    prompts = len({e.prompt_id for e in labels})
    assert 2 * prompts <= len(labels) < 3 * prompts
    assert f"inferred from your answers\n+{3 * prompts - len(labels)}" in thanks
    _, preferences = export(project.id)
    assert len(preferences.all()) == 3 * prompts
