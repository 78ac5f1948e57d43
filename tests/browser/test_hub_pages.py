"""The local Hub's pages and the audit page in Chromium: every one, themes and widths."""

import pytest
from axe_core import wrong_with
from devices import DESK
from run_facts import RUN
from samples import event

from palate.audit import findings, measure
from palate.collect import pairs
from palate.collect.columns import Columns
from palate.collect.tables import Table
from palate.core import hub as client
from palate.core import ledger
from palate.core.schema import pairs_of
from palate.label.steps import JOB_LABEL, PROJECT_LABEL, label_of
from palate.report import audit_page
from palate.report.export import export
from palate.report.model_card import model_files
from palate.train.records import record

pytestmark = [pytest.mark.browser, pytest.mark.slow]


@pytest.fixture
def filled(project, hub):
    """A project with labels, a model with its card, and a job that failed."""
    first = [c for c in project.candidates if c.text.startswith(("Answer 1", "Answer 2"))]
    rows = [event(p, chosen=p.a, sequence=n) for n, p in enumerate(pairs_of(first), 1)]
    client.commit(project.id, "dataset", {"labels/a.jsonl": ledger.jsonl(rows)}, "Add labels")
    export(project.id)
    client.create(project.model_repo, "model")
    files = model_files(record.from_json(RUN), None)
    client.commit(project.model_repo, "model", files, "Add card")
    job = client.api().run_job(
        image="python:3.12",
        command=["python", "-c", "raise SystemExit(3)"],
        flavor="cpu-basic",
        labels={PROJECT_LABEL: label_of(project.id), JOB_LABEL: "train"},
        namespace="me",
    )
    client.api().wait_for_job(job.id, namespace="me")
    return project


def test_nothing_is_wrong_with_the_hubs_pages(filled, hub, browser):
    page = browser.new_context(**DESK, locale="en-US").new_page()
    page.goto(hub.endpoint)
    wrong = wrong_with(page, "hub-signed-out")
    page.goto(f"{hub.endpoint}/login")
    wrong += wrong_with(page, "hub-login")
    page.goto(hub.login_url())
    page.wait_for_url(f"{hub.endpoint}/")
    wrong += wrong_with(page, "hub-home")
    head = client.describe(filled.id, "dataset")[0]
    data, model = f"/datasets/{filled.id}", f"/{filled.model_repo}"
    for name, path in {
        "dataset": data, "tree": f"{data}/tree/main", "rows": f"{data}/blob/main/labels/a.jsonl",
        "commits": f"{data}/commits/main", "commit": f"{data}/commit/{head}", "jobs": "/jobs",
        "model": model, "nothing": "/me/no-such-repo",
    }.items():  # fmt: skip
        answer = page.goto(f"{hub.endpoint}{path}")
        assert answer.status == (404 if name == "nothing" else 200), path
        wrong += wrong_with(page, f"hub-{name}")
    assert wrong == []


def test_nothing_is_wrong_with_the_audit_page(browser, tmp_path):
    made = [
        {
            "prompt": f"text {i // 6}",
            "a": f"text {'long ' * (i % 3 + 1)}{i}",
            "b": f"text {i}",
            "choice": "a" if i % 4 else "b",
            "split": "test" if i % 6 == 5 else "train",
        }
        for i in range(240)
    ]
    table = Table("pairs.csv", tuple(made[0]), made, list(range(1, 241)))
    result = measure.measure(pairs.read(table, Columns("prompt", "a", "b", "choice")))
    file = tmp_path / "audit.html"
    file.write_text(audit_page.render(result, findings.findings(result)), "utf-8")
    page = browser.new_context(**DESK, locale="en-US").new_page()
    page.goto(file.as_uri())
    assert wrong_with(page, "audit") == []
