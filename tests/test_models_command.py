"""`palate models add`: a model from a folder or another Hub, on the Hub in use."""

import uuid

import pytest

from palate.commands import models
from palate.core import hub as client
from palate.core.errors import UsageError
from palate.generate.models import peek


@pytest.fixture
def folder(tmp_path):
    """What is wanted of a model's folder, and what is not."""
    folder = tmp_path / "small"
    folder.mkdir()
    for name in ("config.json", "model.safetensors", "README.md", "pytorch_model.bin", "run.py"):
        (folder / name).write_text("{}" if name.endswith(".json") else "---\nlicense: mit\n---\n")
    return folder


def test_a_folder_becomes_a_model_without_code_and_pickles(hub, folder, capsys):
    name = f"me/m{uuid.uuid4().hex[:8]}"
    models.add(str(folder), to=name)
    files = set(client.describe(name, "model")[1]) - {".gitattributes"}
    assert files == {"config.json", "model.safetensors", "README.md"}
    assert f"--base-model {name}" in " ".join(capsys.readouterr().out.split())


def test_a_model_of_another_hub_is_mirrored_without_a_token(hub, folder, tmp_path, monkeypatch):
    name = f"me/m{uuid.uuid4().hex[:8]}"
    models.add(str(folder), to=name)
    with pytest.raises(UsageError, match="that everybody may see"):
        models.download(name, public=hub.endpoint)  # it is private
    client.api().update_repo_settings(name, private=False)
    mirrored = models.download(f"{name}@main", public=hub.endpoint)
    assert (mirrored / "model.safetensors").exists()


def test_what_is_no_model_is_refused_and_a_missing_model_says_how_to_bring_it(hub, tmp_path):
    (tmp_path / "notes.txt").write_text("x")
    with pytest.raises(UsageError, match=r"expected config\.json and safetensors"):
        models.add(str(tmp_path))
    with pytest.raises(UsageError) as refusal:
        peek("Qwen/Qwen2.5-0.5B-Instruct")
    assert "There is no model Qwen/Qwen2.5-0.5B-Instruct" in str(refusal.value)
    assert "palate models add Qwen/Qwen2.5-0.5B-Instruct" in str(refusal.value)
    assert "palate init" not in str(refusal.value)


@pytest.mark.parametrize("source", ["./smollm", "/models/smollm", "my model"])
def test_a_folder_that_is_not_there_is_no_network_that_is_down(source):
    with pytest.raises(UsageError, match="neither a folder here nor a model's name"):
        models.download(source, public="http://127.0.0.1:9")


def test_a_link_out_of_the_folder_publishes_nothing(hub, folder, tmp_path):
    (tmp_path / "token").write_text("hf_secret")
    (folder / "vocab.txt").symlink_to(tmp_path / "token")
    name = f"me/m{uuid.uuid4().hex[:8]}"
    with pytest.raises(UsageError, match="outside the model's folder"):
        models.add(str(folder), to=name)
    assert not client.exists(name, "model")


def test_links_of_the_cache_are_the_files_themselves(hub, folder, tmp_path):
    snapshot = tmp_path / "cache/snapshots/abc"
    snapshot.mkdir(parents=True)
    folder.rename(tmp_path / "cache/blobs")
    for name in ("config.json", "model.safetensors"):
        (snapshot / name).symlink_to(f"../../blobs/{name}")
    name = f"me/m{uuid.uuid4().hex[:8]}"
    models.add(str(snapshot), to=name)
    assert "config.json" in client.describe(name, "model")[1]
