"""What the tests of the training jobs share: how they are run, and what they recorded."""

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from palate.core import hub
from palate.core.project import Project
from palate.core.schema import Candidate

FAST = ("--learning-rate", "1e-3", "--epochs", "2")
LONG = ("--learning-rate", "1e-3", "--epochs", "4")  # time enough to be interrupted


SCRIPT = """
import os, runpy, signal, sys, torch
from accelerate.state import PartialState
from accelerate.utils import DistributedType
from palate.run import processes
from palate.train.trainers.dpo_trainer import PackedDPOTrainer

def together(*args, real=processes.together):
    sys.argv[0] = __file__  # the processes run this file, too
    real(*args)
processes.together = together
{change}
runpy.run_path({job!r}, run_name="__main__")
"""
# accelerate shards on accelerators alone; PyTorch shards on a CPU, too
CPU_AS_GPU = """
def init(self, *args, real=PartialState.__init__, **kwargs):
    real(self, *args, **kwargs)
    if self.distributed_type == DistributedType.MULTI_CPU:
        self.distributed_type, self.device = DistributedType.MULTI_GPU, torch.device("cpu")
PartialState.__init__ = init
processes.check_devices = lambda *args: None
"""
# DeepSpeed takes a CPU for an accelerator, accelerate does not
CPU_BY_DEEPSPEED = """
import trl

processes.check_devices = lambda *args: None
if "LOCAL_RANK" in os.environ:
    def init(self, cpu=False, real=PartialState.__init__, **kwargs):
        real(self, **kwargs)
    def set_device(self):
        self.device = torch.device("cpu")
    def on_accelerator(config):
        def post_init(self, real=config.__post_init__):
            self.use_cpu = False
            real(self)
        config.__post_init__ = post_init
    PartialState.__init__, PartialState.set_device = init, set_device
    PartialState._prepare_backend = lambda *a, **k: ("gloo", DistributedType.MULTI_GPU)
    on_accelerator(trl.DPOConfig)
    on_accelerator(trl.SFTConfig)
"""


def record(repo: str, revision: str = "main") -> dict:
    sha, _ = hub.describe(repo, "model", revision)
    return json.loads(hub.fetch(repo, "model", sha, ["run.json"])[0].read_text("utf-8"))


def answers_of(repo: str) -> list[dict]:
    """Return what a model wrote and was rewarded for while it learned."""
    sha, _ = hub.describe(repo, "model")
    text = hub.fetch(repo, "model", sha, ["answers.jsonl"])[0].read_text("utf-8")
    return [json.loads(line) for line in text.split("\n") if line]


def scores_of(
    repo: str, project: Project, candidates: Sequence[Candidate] = ()
) -> dict[str, float]:
    """Return a reward's scores of the candidates, by id, loaded as the card says."""
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    sha, files = hub.describe(repo, "model")
    folder = hub.fetch(repo, "model", sha, [f for f in files if "/" not in f])[0].parent
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForSequenceClassification.from_pretrained(folder)
    prompts = {p.id: p.prompt for p in project.prompts}
    found = {}
    for c in candidates or project.candidates:
        chat = [*prompts[c.prompt_id], {"role": "assistant", "content": c.text}]
        inputs = tokenizer.apply_chat_template(chat, return_dict=True, return_tensors="pt")
        found[c.id] = model(**inputs).logits.item()
    return found


def saved_parameters(repo: str) -> int:
    """Return how many parameters the files of a model repo hold."""
    return sum(hub.api().get_safetensors_metadata(repo).parameter_count.values())


def step_of(cache: Path) -> int:
    """Return the last step that a running job has logged."""
    lines = [f.read_text("utf-8").splitlines() for f in cache.glob("training/*/metrics.jsonl")]
    return max((json.loads(line)["step"] for file in lines for line in file), default=0)


def same_curves(one: dict, other: dict) -> None:
    assert one["results"]["test_rows"] == other["results"]["test_rows"]
    for key in ("loss", "test_loss"):
        curves = [[p[key] for p in r["history"] if p[key] is not None] for r in (one, other)]
        assert len(curves[0]) >= 3
        assert curves[1] == pytest.approx(curves[0], rel=1e-5, abs=0), key
    assert one["results"]["test_loss"] == pytest.approx(other["results"]["test_loss"], rel=1e-5)
