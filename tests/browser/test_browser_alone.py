"""An owner goes from prompts to a verdict in the browser: jobs run on the local Hub."""

import re

import pytest
import tiny_model
from axe_core import wrong_with
from devices import DESK
from tuned_model import push_tiny

from palate.collect import importing
from palate.core import hub as client
from palate.core.project import Project, Settings
from palate.core.schema import Prompt

pytestmark = [pytest.mark.browser, pytest.mark.slow]
MINUTES = 60_000


@pytest.fixture
def project(repo_id, tiny_folder) -> Project:
    """Prompts, and nothing else."""
    prompts = [Prompt.of(tiny_model.prompt(i)) for i in range(16)]
    settings = Settings(base_model=push_tiny(tiny_folder), repeats=0.0, test=0.15, eval=0.25)
    return importing.start_project(repo_id, prompts, settings)


def next_is(page, words: str) -> None:
    page.click(".tabs a:text-is('Home')")
    page.wait_for_selector(f"#next h2:text-is('Next: {words}')", timeout=2 * MINUTES)
    assert wrong_with(page, f"next-{words.split()[0].casefold()}") == []


def job_done(page, name: str, rate: str = "") -> None:
    """Start the job that comes next, after its price was shown, and wait for its end."""
    page.click("#next button.go:text-is('Show price and time')")
    page.wait_for_selector("#plan[open]", timeout=2 * MINUTES)
    plan = page.inner_text("#plan")
    assert name in plan
    assert "machine:" in plan
    assert re.search(r"about \d+ (s|min)", plan)
    assert "$" in plan
    assert wrong_with(page, "plan") == []
    if rate:
        page.fill("#plan input", "lots")
        page.click("#plan button:text-is('Start it')")
        page.wait_for_selector("#plan .bad:has-text('Expected a learning rate between 0 and 1')")
        assert wrong_with(page, "plan-refused") == []
        page.fill("#plan input", rate)
        assert f"--learning-rate {rate}" in page.inner_text("#plan code")
    page.click("#plan button:text-is('Start it')")
    page.wait_for_selector(f"#job h3:text-is('{name}')", timeout=2 * MINUTES)
    assert wrong_with(page, f"job-{name.split()[0].casefold()}") == []
    page.wait_for_selector("#jobs-list li:first-child:has-text('done')", timeout=5 * MINUTES)


def prepared(page, words: str) -> str:
    """Let the page start what serves the votes; return a link that it then shows."""
    page.click("#next button:text-is('Prepare the voting page')")
    shown = page.wait_for_selector("#next :is(a.go, .bad)", timeout=2 * MINUTES)
    assert shown.get_attribute("class") == "go", shown.inner_text()
    return page.get_attribute(f"#next a:text-is('{words}')", "href")


def answer(v, number: int) -> None:
    for _ in range(number):
        v.press("ArrowLeft")
    v.published()


@pytest.mark.timeout(900)
def test_an_owner_goes_from_prompts_to_a_verdict(project, label_space, visit):
    owner = visit(label_space.url, "Owner", DESK)
    page = owner.page
    page.goto(label_space.owner_url)
    next_is(page, "Let the model write candidates")
    job_done(page, "Write candidates")

    next_is(page, "Label pairs")
    with page.context.expect_page() as opened:
        page.click("#next a.go")
    opened.value.close()
    ada = visit(label_space.url, "Ada", DESK)
    answer(ada, 16)

    page.reload()
    next_is(page, "Rebuild the preferences from the labels")
    page.click("#next button.go")
    next_is(page, "Train the model")
    job_done(page, "Train", rate="3e-3")
    assert "at step" in page.get_attribute("#job figure svg", "aria-label")

    next_is(page, "Let base and tuned model answer the eval prompts")
    job_done(page, "Answer the eval prompts")

    next_is(page, "Vote blind")
    bo = visit(prepared(page, "Open the voting page"), "Bo", DESK)
    answer(bo, 2)

    page.reload()
    next_is(page, "Count the votes")
    page.click("#next button:text-is('Count the votes')")
    next_is(page, "Begin the next round")
    verdict = bo.context.new_page()
    verdict.goto(prepared(page, "See the verdict (this browser then votes no more)"))
    assert "Of the 2 votes by 1 person so far" in verdict.inner_text("main")
    loaded = Project.load(project.id)
    assert len(loaded.evaluations) == 2
    assert len(loaded.labels) == 16
    assert "verdict.json" in client.describe(project.model_repo, "model")[1]
    page.click("#next button:text-is('Begin the next round')")
    next_is(page, "Let the model write candidates")
    assert Project.load(project.id).settings.round == 2
    assert owner.strangers == []
    # the rate that is none, and the Space that starts again with the candidates
    assert owner.complaints == [c for c in owner.complaints if " 400 " in c or " 503 " in c]
