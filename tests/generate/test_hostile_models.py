"""Models on the Hub that would harm who loads them: each is refused in a sentence, or harmless."""

import json
import shutil
import warnings
from collections.abc import Callable
from functools import partial
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


def adapter(weights: str | None, **config: object):
    """Return a change into an adapter of the base, whose weights are those of a file, or real."""

    def change(folder: Path) -> None:
        from peft import LoraConfig, get_peft_model

        base = transformers.AutoModelForCausalLM.from_pretrained(folder)
        get_peft_model(base, LoraConfig(task_type="CAUSAL_LM")).save_pretrained(folder)
        for file in ("config.json", "tokenizer.json", "tokenizer_config.json"):
            (folder / file).unlink()
        whole = folder / "model.safetensors"
        whole.rename(folder / (weights or "unused.txt"))
        file = folder / "adapter_config.json"
        known = {"base_model_name_or_path": "BASE", **config}
        file.write_text(json.dumps(json.loads(file.read_text()) | known))

    return change


def without(name: str):
    return lambda folder: (folder / name).unlink()


def with_token(folder: Path, *, special: bool, pad: bool = False) -> None:
    """Add a token to the tokenizer, and no room for it to the model."""
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    tokenizer.add_tokens(["<more>"], special_tokens=special)
    if pad:
        tokenizer.pad_token = "<more>"
    tokenizer.save_pretrained(folder)


def fewer_rows(folder: Path) -> None:
    """Cut the embedding, as where the tokenizer is another model's."""
    changed(vocab_size=300)(folder)
    name = "model.embed_tokens.weight"
    with_tensors(lambda t: t.update({name: t[name][:300].clone()}))(folder)


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
    (changed(max_position_embeddings="many"), "cannot be loaded as a model that writes text"),
    (changed(num_attention_heads=0), "cannot be loaded as a model that writes text"),
    (without("config.json"), "has neither config.json nor adapter_config.json"),
    (without("tokenizer.json"), "has no tokenizer"),
    (written("tokenizer.json", "{}"), "cannot be loaded as a model that writes text"),
    (fewer_rows, "has the token .* with number 300, .* only the numbers below 300"),
    (partial(with_token, special=False), "has the token '<more>' with number"),
    (partial(with_token, special=True, pad=True), "has the token '<more>' with number"),
    (adapter("adapter_model.safetensors"), "lacks weights that its adapter_config.json describes"),
    (adapter(None, peft_type="ODD"), "cannot be loaded as a model that writes text"),
    (adapter(None, base_model_name_or_path="me/no-such-model"), "There is no model me/no-such"),
    (adapter(None, base_model_name_or_path=None), "expected the base model's repo, found None"),
]
QUANTIZED = [
    {"quant_method": "gptq", "bits": 4, "group_size": 128},
    {"quant_method": "awq", "bits": 4},
    {"quant_method": "bitsandbytes", "load_in_4bit": True},
    {"load_in_8bit": True},  # as bitsandbytes wrote it at first
    {"quant_method": "fp8"},
    {"quant_method": "mxfp4"},
]


def pushed(repo: str, folder: Path, base: str = "") -> str:
    client.create(repo, "model")
    files: dict[str, Path | bytes] = {f.name: f for f in folder.iterdir()}
    for file in folder.glob("*.json"):
        text = file.read_bytes()
        files[file.name] = text.replace(b"SELF", repo.encode()).replace(b"BASE", base.encode())
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Use 'content=<...>' to upload", DeprecationWarning)
        client.commit(repo, "model", files, "A model")
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
    is_adapter = (folder / "adapter_config.json").exists()
    base = pushed(f"{repo_id}-base", tiny_folder) if is_adapter else ""
    with pytest.raises(PalateError, match=says):
        models.load(models.find(pushed(repo_id, folder, base)))
    assert not Path(MARK).exists()


def test_an_adapter_without_a_tokenizer_takes_that_of_its_base(hub, repo_id, tiny_folder, tmp_path):
    folder = tmp_path / "model"
    shutil.copytree(tiny_folder, folder)
    adapter(None)(folder)
    base = pushed(f"{repo_id}-base", tiny_folder)
    assert models.load(models.find(pushed(repo_id, folder, base))).tokenizer.chat_template


def test_a_placeholder_that_no_text_has_needs_no_room_in_the_model(
    hub, repo_id, tiny_folder, tmp_path
):
    """As in Gemma 3 of 1 B, whose tokenizer has one token for pictures more than its model."""
    folder = tmp_path / "model"
    shutil.copytree(tiny_folder, folder)
    with_token(folder, special=True)
    assert models.load(models.find(pushed(repo_id, folder)))


@pytest.mark.parametrize("said", QUANTIZED)
@pytest.mark.parametrize("where", ["model", "text_config", "adapter"])
def test_quantized_weights_are_no_base_for_training(hub, repo_id, tiny_folder, said, where):
    config = json.loads((tiny_folder / "config.json").read_text())
    quantized = {"quantization_config": said}
    config |= {where: quantized} if where == "text_config" else quantized
    # no file of weights can be read: they are not asked for
    files = {"config.json": json.dumps(config), "model.safetensors": b"x"}
    name = repo_id
    if where == "adapter":
        name = f"{repo_id}-adapter"
        below = json.dumps({"base_model_name_or_path": repo_id})
        client.create(name, "model")
        client.commit(
            name, "model", {"adapter_config.json": below, "adapter_model.safetensors": b"x"}, "Add"
        )
    client.create(repo_id, "model")
    client.commit(repo_id, "model", files, "Add")
    by = rf"quantized \({said['quant_method']}\)" if "quant_method" in said else "quantized, so"
    with pytest.raises(PalateError, match=f"The weights of {repo_id} are {by}"):
        models.trainable_parameters(name)


def test_code_that_a_known_architecture_brings_is_not_run(hub, repo_id, tiny_folder, tmp_path):
    folder = tmp_path / "model"
    shutil.copytree(tiny_folder, folder)
    own_code(folder)
    known = json.loads((tiny_folder / "config.json").read_text())["model_type"]
    changed(model_type=known)(folder)
    Path(MARK).unlink(missing_ok=True)
    models.load(models.find(pushed(repo_id, folder)))
    assert not Path(MARK).exists()
