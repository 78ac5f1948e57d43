"""Tasks of lm-eval by name: what is missing, what their samples say, what goes onto the card."""

import sys
from importlib import invalidate_caches
from types import SimpleNamespace

import pytest

from palate.check.config import CheckArguments
from palate.check.harness import check_tasks, run_tasks, scores_of
from palate.check.job import Scores, report
from palate.core.errors import PalateError, UsageError
from palate.run.jobs import JOBS
from palate.terminal.flags import parse

# Of lm-eval 0.4.13: the names and arguments that palate uses, and samples of the shape it returns.
# A model is its list of answers; `hard` is known and fails.
HARNESS = """
class TaskManager:
    all_tasks = ["arc_easy", "arc_challenge", "hard"]

def simple_evaluate(model, *, tasks, bootstrap_iters, log_samples):
    assert (bootstrap_iters, log_samples) == (0, True)
    (task,) = tasks
    if task == "hard":
        raise ConnectionError("no such data set")
    rows = [{"doc_id": i, "filter": "none", "metrics": ["acc"], "acc": x}
            for i, x in enumerate(model.answers)]
    return {"samples": {task: rows}, "higher_is_better": {task: {"acc": True}}}

class HFLM:
    def __init__(self, pretrained, tokenizer, batch_size):
        assert (tokenizer, batch_size) == ("tokenizer", 8)
        self.answers = pretrained
"""


@pytest.fixture
def harness(tmp_path, monkeypatch):
    """A stand-in for lm-eval, which is no dependency: what it guarantees is said above."""
    package = tmp_path / "lm_eval"
    for name in ("", "tasks", "models", "models/huggingface"):
        (package / name).mkdir(parents=True, exist_ok=True)
        (package / name / "__init__.py").write_text(HARNESS)
    monkeypatch.syspath_prepend(tmp_path)
    invalidate_caches()
    yield
    for name in [name for name in sys.modules if name.partition(".")[0] == "lm_eval"]:
        monkeypatch.delitem(sys.modules, name)


def loaded(answers):
    return SimpleNamespace(repo="me/base", model=answers, tokenizer="tokenizer")


def test_without_lm_eval_the_message_says_what_to_install(monkeypatch):
    monkeypatch.setattr("palate.check.harness.find_spec", lambda name: None)
    with pytest.raises(UsageError, match=r'Install it with: pip install "lm-eval>=0\.4\.9"'):
        check_tasks(["arc_easy"])
    check_tasks([])


def test_an_unknown_task_is_refused(harness):
    check_tasks(["arc_easy", "hard"])
    with pytest.raises(UsageError, match=r"no task 'arc_easi'\. Did you mean arc_easy"):
        check_tasks(["arc_easy", "arc_easi"])
    with pytest.raises(UsageError, match=r"no task 'x'\. List them with: lm-eval ls tasks"):
        check_tasks(["x"])


def test_a_task_that_fails_is_said_in_the_words_of_lm_eval(harness):
    with pytest.raises(PalateError, match=r"cannot run hard with me/base.*no such data set"):
        run_tasks(loaded([1.0]), ["arc_easy", "hard"], 8)


def test_both_models_do_the_same_examples_and_what_differs_is_reported(harness):
    args = CheckArguments("me/titles", task=("arc_easy",), batch_size=8)
    found = [
        Scores([1.0], [], [1.0], ["0"], run_tasks(loaded(answers), args.task, 8))
        for answers in ([1.0] * 40, [0.0] * 30 + [1.0] * 10)
    ]
    source = SimpleNamespace(repo="me/base", revision="a" * 40)
    *_, task = report(source, source, found, args).abilities
    assert (task.name, task.n, task.base, task.tuned) == ("arc_easy (lm-eval)", 40, 1.0, 0.25)
    assert task.known == "lost"
    assert "100.0% → 25.0% of 40 examples, by acc." in task.sentence()
    found[1].tasks[:] = run_tasks(loaded([1.0] * 39), args.task, 8)
    with pytest.raises(PalateError, match="other examples of arc_easy"):
        report(source, source, found, args)


def row(n: int, metrics: dict, reading: str = "none") -> dict:
    return {"doc_id": n, "filter": reading, "metrics": list(metrics)} | metrics


def test_the_first_reading_and_the_first_share_count():
    samples = {
        "one": [row(0, {"bits": (1, 2), "f1": 0.5, "acc": 1}), row(0, {"f1": 0.0}, "flexible")],
        "two": [row(0, {"bits": (3, 4), "f1": 1, "acc": 0})],
    }
    scores = scores_of("both", samples, {"one": {"f1": True, "acc": True}, "two": {}})
    assert (scores.metric, scores.scores) == ("f1", {"one/0": 0.5, "two/0": 1.0})


@pytest.mark.parametrize("metrics", [{}, {"bits": (1, 2)}, {"loss": 3.5}, {"acc": float("nan")}])
def test_a_task_without_a_share_is_refused(metrics):
    with pytest.raises(PalateError, match="gives no example a score between 0 and 1"):
        scores_of("odd", {"odd": [row(0, metrics)]}, {"odd": {}})
    with pytest.raises(PalateError, match="gives no example"):
        scores_of("odd", {}, {})


def test_a_share_where_lower_is_better_does_not_count():
    """As `pct_stereotype` of crows_pairs: a model that loses some of it gets better."""
    samples = {"crows": [row(0, {"pct_stereotype": 1.0}), row(1, {"pct_stereotype": 0.0})]}
    with pytest.raises(PalateError, match=r"gives no example a score .* where higher is better"):
        scores_of("crows", samples, {"crows": {"pct_stereotype": False}})
    samples["crows"] = [row(0, {"pct_stereotype": 1.0, "acc": 0.0})]
    directions = {"crows": {"pct_stereotype": False, "acc": True}}
    assert scores_of("crows", samples, directions).metric == "acc"


def test_a_machine_of_hf_jobs_gets_lm_eval_where_a_task_is_named():
    words = ["me/titles", "--task", "arc_easy", "--task", "piqa"]
    args = parse(CheckArguments, words, "palate check")
    assert args.task == ("arc_easy", "piqa")
    (spec,) = [job for job in JOBS if job.name == "check"]
    assert spec.packages(args) == ["lm-eval>=0.4.9"]
    assert spec.packages(CheckArguments("me/titles")) == []
