"""A training starts once when enough new labels are there, however often its webhook fires."""

import json
import re
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest
from run_facts import RUN

from palate.core import hub as client
from palate.core.errors import PalateError
from palate.core.ledger import now
from palate.core.project import Project
from palate.run import watch as module
from palate.run.watch import Started, WatchArguments, watch


class Starter:
    """Starts a job that prints a word, in place of a training."""

    def __init__(self, code: str = "print('trained')"):
        self.jobs, self.code = [], code

    def __call__(self, project, flavor):
        words = [sys.executable, "-c", self.code]
        self.jobs.append(client.api().run_job(image="python:3.12", command=words))
        return self.jobs[-1]


def files(project: Project) -> list[str]:
    return [f for f in Project.load(project.id).files if f.startswith("started/")]


def test_too_few_labels_start_nothing(labelled, capsys):
    start = Starter()
    watch(WatchArguments(labelled.id, labels=91), start)
    assert "90 new labels of 91" in capsys.readouterr().out
    watch(WatchArguments(labelled.id, labels=1, dry_run=True), start)
    assert start.jobs == files(labelled) == []


def test_a_webhook_that_fires_twice_at_once_starts_one_job(labelled, capsys):
    start = Starter()
    arguments = WatchArguments(labelled.id, labels=90)
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: watch(arguments, start), range(4)))
    watch(arguments, start)
    assert len(start.jobs) == 1
    assert capsys.readouterr().out.count("was started already") == 4
    (path,) = files(labelled)
    assert path == "started/round-1-after-0.json"
    text = client.fetch(labelled.id, "dataset", Project.load(labelled.id).revision, [path])[0]
    assert json.loads(text.read_text())["job"] == start.jobs[0].id


def test_a_training_that_failed_is_started_once_more_and_not_for_each_label(labelled):
    start = Starter("raise SystemExit(1)")
    arguments = WatchArguments(labelled.id, labels=90)
    for _ in range(4):
        watch(arguments, start)
        list(client.api().fetch_job_logs(job_id=start.jobs[-1].id, follow=True))
    assert len(start.jobs) == 2
    watch(WatchArguments(labelled.id, labels=1), start)
    assert len(start.jobs) == 2
    early = module._text(Started(0, now(), start.jobs[1].id, tries=2))
    client.commit(labelled.id, "dataset", {"started/round-1-after-0.json": early}, "Earlier")
    watch(arguments, start)  # 90 more labels
    assert len(start.jobs) == 3


def test_a_training_that_somebody_cancelled_is_not_started_again(labelled):
    start = Starter("import time; time.sleep(60)")
    arguments = WatchArguments(labelled.id, labels=90)
    watch(arguments, start)
    client.api().cancel_job(job_id=start.jobs[0].id)
    watch(arguments, start)
    assert len(start.jobs) == 1


def test_a_start_that_is_refused_makes_no_change_that_would_start_another(labelled):
    def refuse(project, flavor):
        raise PalateError("no credit")

    with pytest.raises(PalateError, match="no credit"):
        watch(WatchArguments(labelled.id, labels=90), refuse)
    before = Project.load(labelled.id).revision
    start = Starter()
    watch(WatchArguments(labelled.id, labels=90), start)
    assert (start.jobs, Project.load(labelled.id).revision) == ([], before)


def test_a_claim_without_a_job_counts_for_ten_minutes(labelled):
    old = module._text(Started(90, "2026-01-02T03:04:05.678Z"))
    client.commit(labelled.id, "dataset", {"started/round-1-after-0.json": old}, "Died")
    start = Starter()
    watch(WatchArguments(labelled.id, labels=90), start)
    assert len(start.jobs) == 1


def test_labels_that_the_newest_model_has_seen_are_not_new(labelled, capsys):
    run = RUN | {"data": RUN["data"] | {"labels": 80}, "project": labelled.id}
    client.create(labelled.model_repo, "model")
    sha = client.commit(labelled.model_repo, "model", {"run.json": json.dumps(run)}, "x")
    client.tag(labelled.model_repo, "model", "round-1", sha)
    watch(WatchArguments(labelled.id, labels=11), Starter())
    assert "10 new labels of 11" in capsys.readouterr().out


@pytest.mark.slow
def test_round_when_makes_one_webhook_and_ends_it(labelled, palate):
    for _ in range(2):  # the second takes the first one's place
        said = palate("round", labelled.id, "--when", "500", "--yes")
    assert "After 500 new labels, a training starts." in said
    assert re.search(r"webhook \w{8}: watching", said)
    hooks = [w for w in client.api().list_webhooks() if w.watched[0].name == labelled.id]
    assert len(hooks) == 1
    assert hooks[0].job.secrets == {"HF_TOKEN": None}
    assert "the webhook is deleted" in palate("round", labelled.id, "--when", "0")
    assert f"{labelled.id} has no webhook" in palate("round", labelled.id, "--when", "0")
    assert "need --when" in palate("round", labelled.id, "--flavor", "t4-small", code=2)
