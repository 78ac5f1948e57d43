"""Models on the Hub that would harm who loads them: each is refused in a sentence, or harmless."""

import json
import shutil
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file

from palate.core import hub as client
from palate.core.errors import PalateError
from palate.generate import models

MARK = "/tmp/palate-was-here"
CODE = f"open({MARK!r}, 'w').close()\n"
ESCAPES = "{{ ''.__class__.__mro__[1].__subclasses__() }}"
SHELL = "{{ cycler.__init__.__globals__.os.popen('touch " + MARK + "').read() }}"
WRITES = "{{ messages.append('x') }}"


def changed(**values: object):
    """Return a change of config.json."""

    def change(folder: Path) -> None:
        file = folder / "config.json"
        file.write_text(json.dumps(json.loads(file.read_text()) | values))

    return change


def written(name: str, content: bytes | str):
    def change(folder: Path) -> None:
        data = content.encode() if isinstance(content, str) else content
        (folder / name).write_bytes(data)

    return change


def pickled(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    (folder / "pytorch_model.bin").write_bytes(
        b"cos\nsystem\n(S'touch " + MARK.encode() + b"'\ntR."
    )


def own_code(folder: Path) -> None:
    (folder / "modeling_evil.py").write_text(CODE)
    classes = {"AutoConfig": "modeling_evil.C", "AutoModelForCausalLM": "modeling_evil.M"}
    changed(auto_map=classes, model_type="evil")(folder)


def itself(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "adapter_model.safetensors")
    written("adapter_config.json", json.dumps({"base_model_name_or_path": "SELF"}))(folder)


def made(kind: str, **config: object):
    """Return a change of the model into a tiny one of another kind, with the same tokenizer."""

    def change(folder: Path) -> None:
        config_class = getattr(transformers, f"{kind.partition('For')[0]}Config")
        (folder / "model.safetensors").unlink()
        getattr(transformers, kind)(config_class(**config)).save_pretrained(folder)

    return change


def with_tensors(change_tensors: Callable[[dict[str, torch.Tensor]], object]):
    def change(folder: Path) -> None:
        file = folder / "model.safetensors"
        tensors = load_file(file)
        change_tensors(tensors)
        save_file(tensors, file, {"format": "pt"})

    return change


def cut(folder: Path) -> None:
    file = folder / "model.safetensors"
    file.write_bytes(file.read_bytes()[:5_000])


SMALL = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
T5 = {"d_model": 16, "d_kv": 8, "d_ff": 16, "num_layers": 1, "num_heads": 2}
NAN = torch.tensor(float("nan"))
NORM = "model.layers.0.input_layernorm.weight"
REFUSED = [
    (made("BertForMaskedLM", intermediate_size=16, **SMALL), "fills gaps and does not write"),
    (made("BertForSequenceClassification", intermediate_size=16, **SMALL), "does not write"),
    (made("T5ForConditionalGeneration", **T5), "cannot be loaded as a model that writes text"),
    (changed(architectures=["Qwen2ForSequenceClassification"]), "is a classifier"),
    (changed(intermediate_size=24), "cannot be loaded as a model that writes text"),
    (with_tensors(lambda t: t.pop(NORM)), f"has no {NORM} among its weights"),
    (with_tensors(lambda t: t[NORM].copy_(NAN)), f"has values in {NORM} that are not numbers"),
    (cut, "model.safetensors is damaged"),
    (pickled, "holds no model.safetensors"),
    (own_code, "is of the type 'evil'.* palate runs none"),
    (itself, "is an adapter on an adapter"),
    (written("chat_template.jinja", ESCAPES), "The chat template of .* fails"),
    (written("chat_template.jinja", SHELL), "The chat template of .* fails"),
    (written("chat_template.jinja", WRITES), "The chat template of .* fails"),
    (written("chat_template.jinja", "{% for"), "The chat template of .* fails"),
    (changed(num_hidden_layers=10**6), "much larger than its weights"),
    (changed(vocab_size=10**9), "much larger than its weights"),
    (changed(hidden_size=10**9, intermediate_size=10**9), "much larger than its weights"),
    (written("config.json", "[" * 100_000), "not valid JSON"),
    (written("config.json", '{"vocab_size": ' + "9" * 5_000 + "}"), "not valid JSON"),
    (written("config.json", b'{"model_type": "\xff"}'), "not valid UTF-8"),
    (written("config.json", "[1]"), "expected an object"),
]


def pushed(repo: str, folder: Path) -> str:
    client.create(repo, "model")
    for file in folder.iterdir():
        if b"SELF" in file.read_bytes()[:200]:
            file.write_bytes(file.read_bytes().replace(b"SELF", repo.encode()))
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Use 'content=<...>' to upload", DeprecationWarning)
        client.commit(repo, "model", {f.name: f for f in folder.iterdir()}, "A model")
    return repo


@pytest.mark.parametrize(("change", "says"), REFUSED)
def test_a_hostile_model_is_refused_and_nothing_of_it_runs(
    hub, repo_id, tiny_folder, tmp_path, monkeypatch, change, says
):
    monkeypatch.setattr("builtins.input", lambda *_: "y")  # to a question whether to run its code
    Path(MARK).unlink(missing_ok=True)
    folder = tmp_path / "model"
    shutil.copytree(tiny_folder, folder)
    change(folder)
    with pytest.raises(PalateError, match=says):
        models.load(models.find(pushed(repo_id, folder)))
    assert not Path(MARK).exists()


def test_code_that_a_known_architecture_brings_is_not_run(hub, repo_id, tiny_folder, tmp_path):
    folder = tmp_path / "model"
    shutil.copytree(tiny_folder, folder)
    own_code(folder)
    known = json.loads((tiny_folder / "config.json").read_text())["model_type"]
    changed(model_type=known)(folder)
    Path(MARK).unlink(missing_ok=True)
    models.load(models.find(pushed(repo_id, folder)))
    assert not Path(MARK).exists()
