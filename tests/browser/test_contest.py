"""Six contestants in Chromium: the simulated annotator votes blind, and the page rates them all."""

import uuid
from dataclasses import replace
from random import Random

import pytest
from axe_core import wrong_with
from devices import DESK

from palate.collect import importing
from palate.core import hub as calls
from palate.core import ledger
from palate.core.ledger import standing_judgements
from palate.core.project import Project, Settings
from palate.core.schema import BEST_OF, CONTESTANT, Candidate, Model, Prompt
from palate.demo.browser import KEYS
from palate.demo.person import SimulatedAnnotator
from palate.demo.titles import corpus, prompt_for
from palate.evaluate.ratings import ratings, short_names
from palate.web.serving import Space

pytestmark = [pytest.mark.browser, pytest.mark.slow]
VOTES = 45
BASE = Model("secret/base-model", "b" * 40)
# how often a method's titles are questions with a number, which the annotator likes
LIKED = {"base": 0.0, "dpo": 0.9, "sft": 0.3, "ipo": 0.8, "kto": 0.6, "best-of-16": 0.7}


@pytest.fixture
def contestants(hub, repo_id, run_facts) -> dict[str, Model]:
    """Six titles each for 14 eval prompts: by the base model and by five methods."""
    topics = list(corpus().items())[:24]
    prompts = [Prompt.of(prompt_for(topic)) for topic, _ in topics]
    settings = replace(Settings(), repeats=0.0, eval=0.6, compare="all")
    importing.start_project(repo_id, prompts, settings)
    project = Project.load(repo_id)
    calls.create(project.model_repo, "model")
    revision = calls.commit(project.model_repo, "model", {"run.json": run_facts}, "Train")
    models = {name: Model(f"{repo_id}-{name}", name[0] * 40) for name in LIKED}
    models |= {"base": BASE, "dpo": Model(project.model_repo, revision)}
    models["best-of-16"] = Model(project.reward_repo, f"{BEST_OF}16.{'b' * 12}.{'r' * 12}")
    random, rows = Random(0), []
    titles = {p.id: own for p, (_, own) in zip(prompts, topics, strict=True)}
    for p in project.prompts:
        for name, model in models.items() if p.split == "eval" else ():
            mark = {} if name in ("base", "dpo") else {CONTESTANT: 1}
            end = " in 7 Steps?" if random.random() < LIKED[name] else "."
            text = f"{random.choice(titles[p.id])}{end}"
            rows.append(
                Candidate.of(p.id, text, model=model.repo, revision=model.revision, sampling=mark)
            )
    path = f"candidates/{uuid.uuid4().hex}.jsonl"
    calls.commit(project.id, "dataset", {path: ledger.jsonl(rows)}, "Add completions")
    return models


def test_a_contest_of_six_is_voted_blind_and_its_page_rates_them(
    contestants, repo_id, visit, tmp_path, monkeypatch
):
    monkeypatch.setenv("PALATE_DATA", str(tmp_path))
    annotator, seen = SimulatedAnnotator(seed=0), []
    with Space("evaluate", repo_id, log=tmp_path / "evaluate.log") as space:
        v = visit(space.url, "Ada", DESK)
        v.page.on("response", lambda r: seen.append(r.text() if "/api/next" in r.url else ""))
        for _ in range(VOTES):
            v.ready()
            texts = v.texts()
            side, strength = annotator.judge(texts["left"], texts["right"])
            v.press("t" if side == "tie" else KEYS[side][strength - 1])
        v.published()
        blind = list(seen)
        v.page.click("[data-act=session]")
        v.page.click(".b-dialog[open] [data-act=result]")
        v.page.click(".b-dialog[open] [data-act=stop]")
        v.page.wait_for_url("**/verdict?key=*")
        text = v.page.inner_text("main")
        v.page.eval_on_selector_all("details", "all => all.forEach((d) => { d.open = true })")
        wrong = wrong_with(v.page, "contest")
        assert (v.complaints, v.strangers, wrong) == ([], [], [])
    project = Project.load(repo_id)
    votes = standing_judgements(project.evaluations)
    assert len(votes) == VOTES
    (rated,) = ratings(votes, project.candidates, BASE)
    assert {r.model for r in rated.ratings} == set(contestants.values())
    for model in contestants.values():
        assert not [a for a in blind if model.repo in a or model.revision in a]
    table = text[text.index("All models") : text.index("How sure is this?")]  # comes first
    names = short_names([rated], repo_id)
    assert set(names.values()) == {BASE.repo, "dpo", "sft", "ipo", "kto", "best of 16"}
    places = [table.index(f"{r.place}\t{names[r.model]}\t") for r in rated.ratings]
    assert places == sorted(places)
