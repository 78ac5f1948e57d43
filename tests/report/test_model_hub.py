"""A model's card on a Hub: what it follows, what is missing, and that its example runs."""

import json
import re

import pytest
from card_projects import readme
from random_models import push_random_models
from run_facts import run
from verdicts import votes

from palate.core.errors import UsageError
from palate.evaluate.verdict import Verdict
from palate.report.model_card import push_model_card


def test_a_model_repo_without_a_run_says_what_to_do(pushed):
    from palate.core import hub

    hub.create(f"{pushed}-dpo", "model")
    with pytest.raises(UsageError, match=f"palate train {pushed}"):
        push_model_card(pushed)


def test_the_model_card_follows_run_and_verdict(pushed):
    from palate.core import hub

    repo = f"{pushed}-dpo"
    facts = run(project=pushed, model=repo)
    hub.create(repo, "model")
    old = hub.commit(repo, "model", {"run.json": json.dumps(run(seconds=1.0))}, "Round 0")
    sha = hub.commit(repo, "model", {"run.json": json.dumps(facts)}, "Round 1")

    def card(verdict: Verdict | None) -> str:
        if verdict:
            text = json.dumps(verdict.to_json())
            hub.commit(repo, "model", {"verdict.json": text}, "Verdict")
        assert push_model_card(pushed).endswith(f"/{repo}")
        head = hub.describe(repo, "model")[0]
        return hub.fetch(repo, "model", head, ["README.md"])[0].read_text("utf-8")

    assert "has not been measured yet" in card(None)
    assert "**71.4%** of 112 votes" in card(votes(78, 30, 4, sha))
    assert "plots/win_rate.svg" in hub.describe(repo, "model")[1]
    # a verdict on other weights says nothing about these, and its picture goes
    assert "has not been measured yet" in card(votes(78, 30, 4, old))
    assert "plots/win_rate.svg" not in hub.describe(repo, "model")[1]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")  # huggingface_hub's, in LFS
@pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing:FutureWarning")  # peft's
@pytest.mark.parametrize("method", ["full", "lora"])
def test_the_cards_own_example_runs(repo_id, method, capsys):
    base, tuned = f"{repo_id}-base", f"{repo_id}-dpo"
    revision = push_random_models(base, tuned, adapter=method == "lora")
    text = readme(run(model=tuned, base_model=base, base_revision=revision, method=method))
    (snippet,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    exec(compile(snippet, "README.md", "exec"), {})
    assert "Traceback" not in capsys.readouterr().out
