"""Model repos: the tiny model, and one as `palate train` leaves it, without the training."""

import json
import tempfile
import uuid
import warnings
from pathlib import Path

import torch
from run_facts import RUN
from safetensors.torch import load, save

from palate.core import hub as client
from palate.core.project import Project


def push_tiny(folder: Path) -> str:
    """Push the tiny model of the folder; return its repo."""
    repo = f"me/tiny{uuid.uuid4().hex[:8]}"
    client.create(repo, "model")
    with warnings.catch_warnings():
        # huggingface_hub's own upload of a large file; a job's process is not as strict
        warnings.filterwarnings("ignore", "Use 'content=<...>' to upload", DeprecationWarning)
        client.commit(repo, "model", {f.name: f for f in folder.iterdir()}, "A tiny model")
    return repo


def push_reward(project: Project) -> str:
    """Push a classifier of the base model's shape as the project's reward; return its repo."""
    from transformers import AutoConfig, AutoModelForSequenceClassification

    base = project.settings.base_model
    sha, files = client.describe(base, "model")
    folder = client.fetch(base, "model", sha, files)[0].parent
    torch.manual_seed(1)
    config = AutoConfig.from_pretrained(folder, num_labels=1)
    config.pad_token_id = config.eos_token_id
    with tempfile.TemporaryDirectory() as made:
        AutoModelForSequenceClassification.from_config(config).save_pretrained(made)
        texts = {f.name: f for f in folder.iterdir() if f.suffix in (".json", ".jinja")}
        own = {f.name: f.read_bytes() for f in Path(made).iterdir()}
        client.create(project.reward_repo, "model")
        files = {**texts, **own, "run.json": "{}"}
        client.commit(project.reward_repo, "model", files, "A reward")
    return project.reward_repo


def push_tuned(project: Project, *, ruined: bool) -> None:
    """Push the base model, or its weights as noise, as what `palate train` made."""
    base = project.settings.base_model
    sha, files = client.describe(base, "model")
    folder = client.fetch(base, "model", sha, files)[0].parent
    weights = load((folder / "model.safetensors").read_bytes())
    if ruined:
        torch.manual_seed(0)
        weights = {k: torch.randn_like(w) for k, w in weights.items()}
    run = RUN | {
        "project": project.id,
        "data_revision": project.revision,
        "base_model": base,
        "base_revision": sha,
        "model": project.model_repo,
    }
    texts = {f.name: f for f in folder.iterdir() if f.suffix in (".json", ".jinja")}
    client.create(project.model_repo, "model")
    weighed = {"model.safetensors": save(weights, {"format": "pt"}), "run.json": json.dumps(run)}
    commit = client.commit(project.model_repo, "model", texts | weighed, "A model")
    client.tag(project.model_repo, "model", "round-1", commit)
