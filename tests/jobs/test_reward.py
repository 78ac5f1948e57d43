"""A reward model from labels to a pushed classifier, which plain transformers loads."""


import numpy as np
import pytest
from dpo_runs import record

from palate.core import hub as client
from palate.core.project import Project


def scores_of(repo: str, project: Project) -> dict[str, float]:
    """Return the scores of all candidates, loaded as the card says."""
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    folder = client.fetch(repo, "model", client.describe(repo, "model")[0], ["config.json"])
    files = client.describe(repo, "model")[1]
    folder = client.fetch(repo, "model", client.describe(repo, "model")[0], files)[0].parent
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForSequenceClassification.from_pretrained(folder)
    prompts = {p.id: p.prompt for p in project.prompts}
    found = {}
    for c in project.candidates:
        chat = [*prompts[c.prompt_id], {"role": "assistant", "content": c.text}]
        inputs = tokenizer.apply_chat_template(chat, return_dict=True, return_tensors="pt")
        found[c.id] = model(**inputs).logits.item()
    return found


@pytest.mark.parametrize("method", ["probe", pytest.param("lora", marks=pytest.mark.slow)])
def test_what_people_prefer_scores_higher_on_prompts_it_has_not_seen(
    method, labelled, base_model, jobs, tmp_path
):
    flags = ("--learning-rate", "1e-2", "--epochs", "5") if method == "lora" else ()
    said = jobs("reward", labelled.id, "--method", method, *flags)
    repo = labelled.reward_repo
    assert "Warning" not in said
    assert f"Next: palate best {labelled.id}" in said
    sha, files = client.describe(repo, "model")
    assert client.describe(repo, "model", "round-1")[0] == sha
    assert client.api().model_info(repo).private
    assert {"model.safetensors", "tokenizer.json", "run.json", "README.md"} <= set(files)
    assert not [f for f in files if f.endswith((".bin", ".pt", ".py")) or f.startswith("adapter")]
    assert not list((tmp_path / "cache" / "training").iterdir())
    run = record(repo)
    assert (run["job"], run["method"], run["round"]) == ("reward", method, 1)
    assert run["base_revision"] == client.describe(base_model, "model")[0]
    assert run["results"]["accuracy"]["rate"] > 0.8
    assert run["results"]["accuracy"]["n"] == (90 if method == "probe" else 18)
    assert run["answers"] == 90
    scores = scores_of(repo, labelled)
    train = {p.id for p in labelled.prompts if p.split == "train"}
    own = [scores[c.id] for c in labelled.candidates if c.prompt_id in train]
    assert np.mean(own) == pytest.approx(0, abs=1e-3)
    assert np.std(own) == pytest.approx(1, abs=1e-3)
    leads = [scores[a] - scores[b] for e in labelled.labels for a, b, _ in e.statements()]
    assert np.mean(np.array(leads) > 0) > 0.85
