"""Blind votes in Chromium: nothing tells the models apart, and the verdict reaches the card."""

import uuid

import pytest
from axe_core import wrong_with
from devices import DESK, PHONE
from rich_ballot import BAD

from palate.core import hub as calls
from palate.core import ledger
from palate.core.project import Project
from palate.core.schema import Candidate
from palate.evaluate.loading import project_verdict
from palate.report.publish import publish_verdict
from palate.web.serving import Space

pytestmark = [pytest.mark.browser, pytest.mark.slow]
BASE = "secret/base-model"
LANGUAGES = {"de-DE": "Ergebnis noch nicht offen", "ar": "النتيجة غير متاحة بعد"}
# Texts that are in another language than the page and do not say so: they have English words.
UNMARKED = """() => {
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT), found = []
  while (texts.nextNode()) {
    const { parentElement: e, textContent } = texts.currentNode
    const isPages = e.closest('[lang]') === document.documentElement
    const isText = isPages && !e.closest('[data-t],code,bdi,script') && /[a-z]{3}/.test(textContent)
    if (isText) found.push(textContent)
  }
  return found
}"""


@pytest.fixture
def revision(project, run_facts) -> str:
    """Base and tuned completions of every eval prompt, and a model that was trained."""
    calls.create(project.model_repo, "model")
    revision = calls.commit(project.model_repo, "model", {"run.json": run_facts}, "Train")
    bad = dict(enumerate(BAD.values()))
    rows = [
        Candidate.of(
            p.id, f"{word} words on {p.text}, {n}\n\n{bad.get(n, '')}", model=model, revision=sha
        )
        for p in project.prompts
        if p.split == "eval"
        for n in range(12)
        for word, model, sha in (
            ("Plain", BASE, "b" * 40),
            ("Fine", project.model_repo, revision),
        )
    ]
    path = f"candidates/{uuid.uuid4().hex}.jsonl"
    calls.commit(project.id, "dataset", {path: ledger.jsonl(rows)}, "Add completions")
    return revision


@pytest.mark.parametrize("device", [DESK, PHONE], ids=["desk", "phone"])
def test_ten_blind_votes_and_the_verdict_on_the_card(
    project, revision, visit, tmp_path, monkeypatch, device
):
    monkeypatch.setenv("PALATE_DATA", str(tmp_path))
    answers: list[str] = []
    with Space("evaluate", project.id, log=tmp_path / "evaluate.log") as space:
        v = visit(space.url, "Ada", device)
        v.page.on("response", lambda r: answers.append(read(r)))
        v.page.reload()
        for i in range(10):
            v.ready()
            fine_is_left = "Fine" in v.page.inner_text("[data-f=left]")
            side = "left" if fine_is_left == (i < 8) else "right"
            if device is DESK:
                v.press("1" if side == "left" else "0")
            else:
                v.tap(f".b-scale[data-side={side}] [data-v='4']")
        v.published()
        wrong = wrong_with(v.page, "vote")
        assert (v.complaints, v.strangers) == ([], [])
        blind = list(answers)
        v.page.click("[data-act=session]")
        wrong += wrong_with(v.page, "vote-session")
        v.page.click(".b-dialog[open] [data-act=result]")
        v.page.click(".b-dialog[open] [data-act=stop]")
        v.page.wait_for_url("**/verdict?key=*")
        verdict = v.page.inner_text("main")
        assert "Of the 10 votes by 1 person so far, it won 80%" in verdict
        assert "Not known yet." in verdict
        assert "One person voted" not in verdict  # until it is asked for
        v.page.click("summary:has-text('How sure is this?')")
        assert "One person voted" in v.page.inner_text("main")
        wrong += wrong_with(v.page, "verdict-sure")
        wrong += [
            f"{language}: {line}"
            for language, title in LANGUAGES.items()
            for line in in_language(visit, space.url, v.page.url, language, title)
        ]
        v.page.goto(f"{space.url}/?as=Ada")
        v.page.wait_for_selector(".ballot[data-state=empty]")  # no more voting, the result again
        v.page.wait_for_selector("[data-act=result]")
        wrong += wrong_with(v.page, "vote-stopped")
        v.page.click("[data-act=result]")
        v.page.wait_for_url("**/verdict?key=*")
        assert (v.complaints, v.strangers) == ([], [])
    assert wrong == []
    assert any("items" in a for a in blind)
    for secret in (BASE, "base-model", project.model_repo, "-dpo", revision, "b" * 40):
        assert not [a for a in blind if secret in a], secret
    loaded = Project.load(project.id)
    result = project_verdict(loaded)
    assert (result.votes, result.wins, result.losses) == (10, 8, 2)
    assert 1 < sum(e.chosen == e.left for e in loaded.evaluations) < 10
    publish_verdict(loaded, result)
    head, _ = calls.describe(project.model_repo, "model")
    (readme,) = calls.fetch(project.model_repo, "model", head, ["README.md"])
    card = readme.read_text("utf-8")
    assert (
        "**80.0%** of 10 votes against the base model's. What the share is on other prompts is not"
        in " ".join(card.split())
    )


def in_language(visit, space: str, verdict: str, language: str, title: str) -> list[str]:
    """Return what is wrong with the pages in a language, of which one title is given."""
    page = visit(space, "Ada", DESK | {"locale": language}).page
    page.goto(f"{space}/verdict")  # without a key
    page.wait_for_selector(f"h1:has-text('{title}')")
    wrong = [*page.evaluate(UNMARKED), *wrong_with(page, f"verdict-early-{language}")]
    page.goto(verdict)
    page.wait_for_selector("html:not([lang=en])")
    direction = page.evaluate("document.documentElement.dir")
    if direction != ("rtl" if language == "ar" else "ltr"):
        wrong.append(direction)
    unfold(page)
    return [*wrong, *wrong_with(page, f"verdict-{language}"), *page.evaluate(UNMARKED)]


def unfold(page) -> None:
    page.eval_on_selector_all("details", "all => all.forEach((d) => { d.open = true })")


def read(response) -> str:
    """Return headers and body of a response, as far as there is one."""
    try:
        return f"{response.url} {response.headers} {response.text()}"
    except Exception as error:  # a redirect or a font has no text
        return f"{response.url} {response.headers} {type(error).__name__}"
