"""The try page in Chromium: answers as they come, a choice that is kept, hostile text, axe-core."""

import json

import pytest
import tiny_model
from axe_core import wrong_with
from devices import DESK, PHONE
from keyboard import go_to, has_focus, wrong_by_tab
from tuned_model import push_reward, push_tiny, push_tuned

from palate.collect import importing
from palate.core import hub as client
from palate.core import ledger
from palate.core.project import Project, Settings
from palate.core.rounds import offered
from palate.core.schema import Candidate, Prompt
from palate.report.status import in_the_wild
from palate.web.serving import Space

pytestmark = [pytest.mark.browser, pytest.mark.slow]
HOSTILE = "<img src=x onerror=window.pwned=1><script>window.pwned=2</script> \u202e</div>"
SAID = """() => { window.said = []; new MutationObserver(() =>
  said.push(document.querySelector('#state').textContent))
  .observe(document.querySelector('#state'), {childList: true}) }"""
WATCH = """() => { window.seen = []; new MutationObserver(() => seen.push(
  [...document.querySelectorAll('.answer')].map((e) => e.textContent.length)))
  .observe(document.querySelector('#answers'), {childList: true, subtree: true}) }"""


@pytest.fixture
def project(repo_id, tiny_folder) -> Project:
    prompts = [Prompt.of(tiny_model.prompt(i)) for i in range(12)]
    settings = Settings(base_model=push_tiny(tiny_folder), repeats=0.0, eval=0.25)
    return importing.start_project(repo_id, prompts, settings)


@pytest.fixture
def trying(project, tmp_path, monkeypatch):
    """The evaluate Space of a project with a tuned model, and its try page's address."""
    push_tuned(project, ruined=True)  # which writes something else
    push_reward(project)
    base = project.settings.base_model
    models = [(name, client.describe(name, "model")[0]) for name in (base, project.model_repo)]
    rows = [
        Candidate.of(p.id, f"{name} on {p.text}", model=name, revision=sha)
        for p in project.prompts
        if p.split == "eval"
        for name, sha in models
    ]
    client.commit(project.id, "dataset", {"candidates/z.jsonl": ledger.jsonl(rows)}, "Add")
    monkeypatch.setenv("PALATE_DATA", str(tmp_path))
    with Space("evaluate", project.id, log=tmp_path / "evaluate.log") as space:
        yield space, space.owner_url.replace("/verdict?", "/try?")


@pytest.mark.parametrize(("device", "blind"), [(DESK, True), (PHONE, False)])
def test_answers_come_as_they_are_written_and_a_choice_is_kept(
    trying,
    project,
    visit,
    device,
    blind,
):
    space, url = trying
    v = visit(space.url, "Ada", device)
    page = v.page
    page.goto(url)
    page.fill("#prompt", "A film about the sea")
    if blind:
        page.check("#blind")
    page.evaluate(WATCH)
    page.click("form .go")
    page.wait_for_selector("#answers section button:visible", timeout=60000)
    seen = page.evaluate("seen")
    assert len({tuple(x) for x in seen}) > 4  # piece by piece
    assert [x for x in seen if all(x)] != []  # both at the same time
    names = page.locator("#answers h2").all_inner_texts()
    if blind:
        assert names == ["Answer A", "Answer B"]
    else:
        assert names == [
            f"Answer A: {project.settings.base_model}",
            f"Answer B: {project.model_repo}",
        ]
    if blind:
        page.check("#keep")
    page.click("#answers section:nth-child(2) button")
    page.wait_for_selector("#answers section:nth-child(2).better")
    kept = page.inner_text("#state")
    assert kept.startswith("Kept: ")
    assert ("Your prompt is kept, too." in kept) is blind
    assert project.model_repo in " ".join(page.locator("#answers h2").all_inner_texts())
    assert (v.complaints, v.strangers) == ([], [])
    space.stop()
    loaded = Project.load(project.id)
    (vote,) = loaded.read("wild")
    assert vote.via == ("try blind" if blind else "try")
    assert [p.text for p in offered(loaded)] == (["A film about the sea"] if blind else [])
    assert loaded.evaluations == ()


def test_the_best_of_sixteen_answers_too(trying, project, visit):
    space, url = trying
    page = visit(space.url, "Ada", DESK).page
    page.goto(url)
    assert page.locator("#pair option").all_inner_texts() == [
        "base and tuned", "base and best of 16", "tuned and best of 16",
    ]  # fmt: skip
    page.select_option("#pair", label="tuned and best of 16")
    page.evaluate(SAID)
    page.click("form .go")
    page.wait_for_selector("#answers button:visible", timeout=60000)
    assert [x for x in page.evaluate("said") if x.endswith("of 16 answers written …")] != []
    assert page.locator("#answers h2").all_inner_texts() == [
        f"Answer A: {project.model_repo}",
        f"Answer B: best of 16 by {project.reward_repo}",
    ]
    page.click("#answers section:nth-child(2) button")
    page.wait_for_selector("#state:has-text('Kept: best of 16 by ')")
    space.stop()
    loaded = Project.load(project.id)
    (vote,) = loaded.read("wild")
    assert vote.chosen == vote.right
    assert f"people chose: another model 1 time, {project.model_repo} 0 times" in " ".join(
        in_the_wild(loaded)
    )


def test_hostile_answers_stay_text_and_what_fails_is_said(trying, visit):
    space, url = trying
    v = visit(space.url, "Ada", DESK)
    page = v.page
    lines: list[dict] = []

    def answer(route):
        route.fulfill(body="".join(json.dumps(line) + "\n" for line in lines))

    page.route("**/try/answer*", answer)
    page.goto(url)
    lines[:] = [{"side": 0, "text": HOSTILE}, {"side": 1, "text": HOSTILE}, {"error": HOSTILE}]
    page.click("form .go")
    page.wait_for_selector("#state.bad")
    assert page.inner_text("#state") == HOSTILE
    assert page.locator(".answer").first.text_content() == HOSTILE
    assert page.locator("#answers button:visible").count() == 0
    lines[:] = [{"side": 0, "text": "half"}]  # and the connection is gone
    page.click("form .go")
    page.wait_for_selector("#state:has-text('does not respond')")
    lines[:] = [{"names": ["one", "two"], "html": ["<p>x</p>"] * 2, "ticket": "t"}]
    page.click("form .go")
    page.wait_for_selector("#state:has-text('Both models wrote the same.')")
    assert page.locator("#answers button:visible").count() == 0
    page.unroute("**/try/answer*")
    page.route("**/try/choose*", lambda route: route.fulfill(status=400, body='{"error": "No."}'))
    page.click("form .go")
    page.wait_for_selector("#answers button:visible", timeout=60000)
    page.click("#answers section:nth-child(1) button")
    page.wait_for_selector("#state:text-is('No.')")
    page.unroute("**/try/choose*")
    page.click("#answers section:nth-child(1) button")
    page.wait_for_selector("#state:has-text('Kept: ')")
    assert page.evaluate("window.pwned") is None


def test_the_try_page_is_used_by_keyboard_alone(trying, project, visit):
    space, url = trying
    page = visit(space.url, "Ada", DESK).page
    page.goto(url)
    assert wrong_by_tab(page, "main", stops=12) == []
    go_to(page, "#blind")
    page.keyboard.press("Space")
    go_to(page, "form .go")
    page.keyboard.press("Enter")
    has_focus(page, "#stop")
    page.keyboard.press("Enter")
    page.wait_for_selector("#state:text-is('Stopped.')")
    has_focus(page, "form .go")
    page.keyboard.press("Enter")
    page.wait_for_selector("#answers button:visible", timeout=60000)
    has_focus(page, "form .go")
    assert wrong_by_tab(page, "main", stops=16) == []
    go_to(page, "#keep")
    page.keyboard.press("Space")
    page.route("**/try/choose*", lambda route: route.fulfill(status=400, body='{"error": "No."}'))
    go_to(page, "#answers section:nth-child(2) > button")
    page.keyboard.press("Enter")
    page.wait_for_selector("#state:text-is('No.')")
    has_focus(page, "#answers section:nth-child(2) > button")
    page.unroute("**/try/choose*")
    page.keyboard.press("Enter")
    page.wait_for_selector("section.better")
    has_focus(page, "#state")
    space.stop()
    (vote,) = Project.load(project.id).read("wild")
    assert vote.via == "try blind"


def test_axe_finds_nothing_on_the_try_page(trying, visit):
    space, url = trying
    page = visit(space.url, "Ada", DESK).page
    page.goto(url)
    wrong = wrong_with(page, "try")
    page.check("#blind")
    page.click("form .go")
    page.wait_for_selector("#answers button:visible", timeout=60000)
    wrong += wrong_with(page, "try-answered")
    page.click("#answers section:nth-child(1) button")
    page.wait_for_selector("section.better")
    wrong += wrong_with(page, "try-kept")
    assert wrong == []
