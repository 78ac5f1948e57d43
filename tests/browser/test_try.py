"""The try page in Chromium: answers as they come, a choice that is kept, hostile text, axe-core."""

import json

import pytest
import tiny_model
from axe_core import wrong_with
from devices import DESK, PHONE
from tuned_model import push_tiny, push_tuned

from palate.collect import importing
from palate.core import hub as client
from palate.core import ledger
from palate.core.project import Project, Settings
from palate.core.rounds import offered
from palate.core.schema import Candidate, Prompt
from palate.web.serving import Space

pytestmark = [pytest.mark.browser, pytest.mark.slow]
HOSTILE = "<img src=x onerror=window.pwned=1><script>window.pwned=2</script> \u202e</div>"
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
    assert ("So is your prompt." in kept) is blind
    assert project.model_repo in " ".join(page.locator("#answers h2").all_inner_texts())
    assert (v.complaints, v.strangers) == ([], [])
    space.stop()
    loaded = Project.load(project.id)
    (vote,) = loaded.read("wild")
    assert vote.via == ("try blind" if blind else "try")
    assert [p.text for p in offered(loaded)] == (["A film about the sea"] if blind else [])
    assert loaded.evaluations == ()


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
