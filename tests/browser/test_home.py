"""The project's home in Chromium: labels found and corrected, instructions, settings, jobs."""

from dataclasses import replace

import pytest
from axe_core import wrong_with
from devices import DESK, PHONE
from rich_ballot import BAD
from samples import event

from palate.collect import importing
from palate.collect.importing import Imported
from palate.core import hub as client
from palate.core import ledger
from palate.core.ledger import standing_judgements
from palate.core.project import Project
from palate.core.schema import Candidate, Pair, pairs_of
from palate.label.steps import JOB_LABEL, PROJECT_LABEL, label_of

pytestmark = [pytest.mark.browser, pytest.mark.slow]
HOSTILE = "<img src=x onerror=window.pwned=1> ${1} \u202e`"
LOG = (
    "training 10/40 (loss 0.69, accuracy 50%)\ntraining 40/40 (loss 0.61, accuracy 60%)\n" + HOSTILE
)


def judged(pair: Pair, who: str, left: bool, number: int, **changes):
    return replace(
        event(pair, annotator=who, chosen=pair.b if left else pair.a, sequence=number),
        time=f"2026-11-0{1 + number // 50}T10:{number % 50:02}:00.000Z",
        **changes,
    )


@pytest.fixture
def labelled(project) -> Project:
    """Two people's labels; one pair has a flag, and one of two different answers was too fast."""
    pairs = pairs_of(c for c in project.candidates if c.text.startswith(("Answer 1", "Answer 2")))
    pairs = [p for p in pairs if {x.id: x.split for x in project.prompts}[p.prompt_id] == "train"]
    rows = [judged(p, "p-ada", True, n, milliseconds=4000) for n, p in enumerate(pairs, 1)]
    rows += [judged(pairs[0], "p-bob", False, 1, milliseconds=100, comment="in a hurry")]
    rows += [replace(judged(pairs[1], "p-bob", True, 2), kind="flag", chosen=None, strength=None,
                     comment=HOSTILE)]  # fmt: skip
    client.commit(project.id, "dataset", {"labels/a.jsonl": ledger.jsonl(rows)}, "Add")
    return Project.load(project.id)


def died(project: Project) -> str:
    job = client.api().run_job(
        image="python:3.12",
        command=["python", "-c", f"print({LOG!r}); raise SystemExit(3)", project.id],
        flavor="cpu-basic",
        labels={PROJECT_LABEL: label_of(project.id), JOB_LABEL: "train"},
        namespace="me",
    )
    client.api().wait_for_job(job.id, namespace="me")
    return job.id


@pytest.mark.parametrize("device", [DESK, PHONE], ids=["desk", "phone"])
def test_an_owner_runs_a_project_from_its_home(labelled, label_space, visit, device):
    v, wrong = visit(label_space.url, "Owner", device), []
    page = v.page
    page.goto(label_space.owner_url)
    page.wait_for_selector("#next h2:text('Next: ')")
    assert page.inner_text("#loop .next").startswith("preferences")
    assert page.input_value("#invite input") == f"{label_space.url}/"
    wrong += wrong_with(page, "home")

    page.click("#next button.go")  # rebuilds the preferences
    page.wait_for_selector("#loop .next:has-text('model')", timeout=60000)
    assert len(Project.load(labelled.id).preferences) > 0

    page.click(".tabs a:text-is('Labels')")
    page.wait_for_selector("#list li")
    everything = page.locator("#list li").count()
    wrong += wrong_with(page, "labels")
    page.check("[name=differs]")
    page.wait_for_selector(f"#found:has-text('2 of {everything} labels')")
    page.check("[name=fast]")
    page.wait_for_selector("#found:has-text('1 of')")
    page.click("#list button")
    page.wait_for_selector("#pair[open] .fix")
    assert "As p-bob saw it: right better" in page.inner_text("#pair")
    wrong += wrong_with(page, "pair")
    page.click("#pair button:text-is('Left is better')")
    page.wait_for_selector("#pair:has-text('corrected by an owner')")
    wrong += wrong_with(page, "pair-corrected")
    page.click("#pair .no")
    page.wait_for_selector("#found:has-text('0 of')")
    wrong += wrong_with(page, "labels-none")
    while True:
        ledger_now = Project.load(labelled.id).labels
        if any(e.via == "owner" for e in ledger_now):
            break
    bobs = [e for e in ledger_now if e.annotator == "p-bob" and e.kind == "label"]
    assert len(bobs) == 2  # the answer is still in the ledger
    (stands,) = [e for e in standing_judgements(ledger_now) if e.annotator == "p-bob"]
    assert (stands.via, stands.chosen) == ("owner", stands.left)

    page.click(".tabs a:has-text('Flags')")
    page.wait_for_selector("#waiting:has-text('2 flags and notes to look at')")
    assert HOSTILE.split("\u202e")[0] in page.inner_text("#remarks")
    wrong += wrong_with(page, "flags")
    page.click("#remarks li:has-text('Flag by') button:text-is('Done')")
    page.wait_for_selector("#waiting:has-text('1 flag or note to look at')")
    wrong += wrong_with(page, "flags-done")

    page.click(".tabs a:text-is('Instructions')")
    page.wait_for_selector("#save:enabled")
    page.fill("#instructions textarea", f"# Mine\n\nPrefer *short* ones. {HOSTILE}")
    page.wait_for_selector("#preview h1:text('Mine')")
    files = {"guidelines.md": "# Theirs\n"}
    client.commit(labelled.id, "dataset", files, "Another owner was faster")
    page.click("#save")
    page.wait_for_selector("#instructions .bad:has-text('Somebody else changed the instructions')")
    assert page.inner_text("#theirs pre").strip() == "# Theirs"
    assert page.input_value("#instructions textarea").startswith("# Mine")
    assert Project.load(labelled.id).guidelines == "# Theirs\n"
    wrong += wrong_with(page, "instructions")
    page.click("#save")
    page.wait_for_selector("#instructions-state:has-text('People see it')")
    wrong += wrong_with(page, "instructions-saved")
    assert Project.load(labelled.id).guidelines.startswith("# Mine")

    page.click(".tabs a:text-is('Settings')")
    page.wait_for_selector("#settings input[name=annotators]:enabled")
    wrong += wrong_with(page, "settings")
    page.fill("[name=annotators]", "you, me")
    page.click("#settings button.go")
    page.wait_for_selector("#settings-state:text-is('Saved.')", timeout=60000)
    assert Project.load(labelled.id).settings.annotators == ("you", "me")
    wrong += wrong_with(page, "settings-saved")

    job = died(labelled)
    page.click(".tabs a:text-is('Jobs')")
    page.click("#jobs-list a")
    page.wait_for_selector("#job .bad:has-text('This job failed')", timeout=30000)
    page.wait_for_selector("#log:has-text('training 40/40')")
    assert (
        page.get_attribute("#job svg", "aria-label") == "Loss by step: train loss 0.61 at step 40"
    )
    assert job in page.url
    wrong += wrong_with(page, "jobs")
    page.click("#start button:has-text('Write candidates')")
    missing = page.wait_for_selector("#start .bad", timeout=120000).inner_text()
    assert "There is no model Qwen/Qwen2.5-0.5B-Instruct" in missing
    assert "palate models add Qwen/Qwen2.5-0.5B-Instruct" in missing
    wrong += wrong_with(page, "jobs-no-model")

    page.click(".tabs a:text-is('People')")
    page.wait_for_selector("#people table")
    wrong += wrong_with(page, "people")
    page.click(".tabs a:text-is('Home')")
    page.click("#pause button:text-is('Pause labelling')")
    page.wait_for_selector("#pause button:text-is('Resume labelling')", timeout=60000)
    assert Project.load(labelled.id).settings.paused
    wrong += wrong_with(page, "home-paused")
    assert page.evaluate("window.pwned") is None
    assert wrong == []
    assert v.complaints == [c for c in v.complaints if "409" in c or "503" in c]


def test_answers_of_any_size_are_readable_in_the_home(project, label_space, visit):
    label_space.stop()
    prompt = next(p for p in project.prompts if p.split == "train")
    texts = [Candidate.of(prompt.id, text) for text in BAD.values()]
    importing.add(project.id, Imported([], texts, []), "Add candidates")
    rows = [judged(p, "p-ada", True, n) for n, p in enumerate(pairs_of(texts), 1)]
    client.commit(project.id, "dataset", {"labels/a.jsonl": ledger.jsonl(rows)}, "Add")
    label_space.start()
    v = visit(label_space.url, "Owner", PHONE)
    page = v.page
    page.goto(f"{label_space.owner_url}#labels")
    page.wait_for_selector("#list li")
    wrong = []
    for n in range(3):
        page.click(f"#list li:nth-child({n + 1}) button")
        page.wait_for_selector("#pair[open] .fix")
        wrong += wrong_with(page, f"pair-bad-{n}")
        page.click("#pair .no")
    assert wrong == []
