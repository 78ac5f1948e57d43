"""candidates.py with engines other than transformers: a server, and vLLM where it is missing."""

import sys
from collections import Counter
from types import ModuleType, SimpleNamespace

import pytest
from openai_server import OpenAIServer

from palate.core import hub as client
from palate.core.errors import PalateError, UsageError
from palate.core.project import Project
from palate.generate import engines
from palate.generate.generation import Completion, Sampling
from palate.generate.openai import ChatClient


class Writer(OpenAIServer):
    """Writes what the prompt and the seed say; every seventh text does not come to its end."""

    def answer(self, body):
        text = f" {body['messages'][-1]['content']} {body['seed']}\n"
        return text, "length" if body["seed"] % 7 == 0 else "stop"


@pytest.fixture
def server(base_model):
    with Writer(base_model) as made:
        yield made


def texts(project_id: str) -> list[tuple]:
    return sorted((c.id, c.text) for c in Project.load(project_id).candidates)


def test_a_server_writes_each_completion_with_its_seed(project, base_model, jobs, server):
    jobs.env["SERVER_API_KEY"] = "secret"
    flags = ("--engine", server.url, "--temperature", "0.5", "--top-p", "0.9")
    said = jobs("candidates", project.id, *flags, "--max-new-tokens", "24")
    rows = Project.load(project.id).candidates
    assert set(Counter(c.prompt_id for c in rows).values()) == {4}
    assert len({c.prompt_id for c in rows}) == 30
    prompts = {p.id: p.text for p in project.prompts}
    assert all(c.text == f"{prompts[c.prompt_id]} {c.sampling['seed']}" for c in rows)
    sha = client.describe(base_model, "model")[0]
    assert {(c.model, c.revision) for c in rows} == {(base_model, sha)}
    assert {tuple(map(a.get, ("model", "temperature", "top_p", "max_tokens")))
            for a in server.asked} == {(base_model, 0.5, 0.9, 24)}  # fmt: skip
    assert f"{len(server.asked) - 120:,} overlong" in said
    assert server.keys == {"Bearer secret"}
    assert "secret" not in said


def test_a_server_that_breaks_off_loses_nothing(project, jobs, server):
    jobs.env["PALATE_PUBLISH_SECONDS"] = "0"
    server.fails_from = 70
    flags = ("--engine", server.url, "--batch-size", "8")
    said = jobs("candidates", project.id, *flags, code=1)
    assert f"palate: The server at {server.url} does not answer: " in said
    assert "run the same command again to continue" in said
    assert "Traceback" not in said
    kept, answered = texts(project.id), server.asked[:70]
    server.fails_from = float("inf")
    jobs("candidates", project.id, *flags)
    assert set(kept) < set(texts(project.id))
    assert len(texts(project.id)) == 120
    seeds = Counter(body["seed"] for body in server.asked)
    assert {seeds[body["seed"]] for body in answered} == {1}  # nothing is paid for twice


def test_shards_may_ask_a_server(project, jobs, server):
    for shard in ("2/2", "1/2"):
        jobs("candidates", project.id, "--engine", server.url, "--shard", shard)
    assert len(texts(project.id)) == 120


def test_what_is_no_engine_is_wrong_usage(project, jobs, server):
    server.models = ("another/model",)
    for flags, says in (
        (("--engine", "tgi"), "expected transformers, vllm, or the URL"),
        (("--engine", "vllm"), "--engine vllm needs the package vllm: pip install vllm."),
        (("--tensor-parallel", "2"), "--tensor-parallel needs --engine vllm"),
        (("--engine", server.url), "runs another/model, not"),
    ):
        said = jobs("candidates", project.id, *flags, code=2)
        assert says in said
        assert len([line for line in said.splitlines() if line.startswith("palate:")]) == 1
    said = jobs("candidates", project.id, "--engine", "http://127.0.0.1:9/v1", code=1)
    assert "does not answer" in said


def test_vllm_is_asked_for_safetensors_and_a_seed_each(base_model, monkeypatch):
    """vLLM's own API as a stand-in: it guarantees what is passed, not that vLLM takes it."""
    made, asked = {}, []

    class LLM:
        def __init__(self, **options):
            made.update(options)

        def chat(self, messages, sampling_params, use_tqdm):
            asked.extend(zip(messages, sampling_params, strict=True))
            return [
                SimpleNamespace(outputs=[SimpleNamespace(text=f" {p.seed}", finish_reason=r)])
                for p, r in zip(sampling_params, ("stop", "length"), strict=True)
            ]

    vllm: ModuleType = ModuleType("vllm")
    monkeypatch.setattr(vllm, "LLM", LLM, raising=False)
    monkeypatch.setattr(vllm, "SamplingParams", lambda **k: SimpleNamespace(**k), raising=False)
    monkeypatch.setitem(sys.modules, "vllm", vllm)
    monkeypatch.setattr(engines, "find_spec", lambda name: True)
    loaded, write = engines.find("vllm", base_model, gpus=2).load()
    assert loaded.repo == base_model
    assert (made["load_format"], made["trust_remote_code"]) == ("safetensors", False)
    assert made["tensor_parallel_size"] == 2
    messages = [[{"role": "user", "content": x}] for x in "ab"]
    found = write(loaded, messages, [5, 6], Sampling(0.5, 0.9, 7))
    assert found == [Completion("5", True), Completion("6", False)]
    assert [m for m, _ in asked] == messages
    params = vars(asked[0][1])
    assert params == {"n": 1, "temperature": 0.5, "top_p": 0.9, "max_tokens": 7, "seed": 5}


def test_an_engine_of_one_gpu_is_not_spread():
    with pytest.raises(UsageError, match="needs --engine vllm"):
        engines.find("transformers", "me/model", gpus=2)


@pytest.fixture
def odd():
    with Writer("me/base") as made:
        yield made


def reply(content: object) -> dict[str, object]:
    message = {"role": "assistant", "content": content}
    return {"choices": [{"index": 0, "finish_reason": "stop", "message": message}]}


def asked(server: OpenAIServer) -> Completion:
    messages = [{"role": "user", "content": "x"}]
    return ChatClient("me/base", server.url).ask(messages, max_tokens=9, temperature=1.0)  # ty: ignore


@pytest.mark.parametrize(
    "changes",
    [
        {"choices": []}, {"choices": None}, {"choices": "x"}, {"choices": [{}]}, {"choices": {}},
        reply([{"type": "text", "text": "x"}]), reply(7),
    ],
)  # fmt: skip
def test_what_is_no_reply_ends_in_a_sentence(odd, changes):
    odd.changes = changes
    with pytest.raises(PalateError, match=r"sends no reply|does not answer"):
        print(asked(odd))


@pytest.mark.parametrize(
    "changes", [{"usage": {"prompt_tokens": None}}, {"usage": "x"}, {"usage": None}, {"model": [1]}]
)
def test_odd_counts_and_names_harm_no_reply(odd, changes):
    odd.changes = changes | reply("so \ud800")
    assert asked(odd) == Completion("so ?", True)


def test_a_password_in_the_address_of_a_server_is_printed_nowhere():
    client = ChatClient("m", "http://me:word@host:1/v1?api_key=word")
    assert client.where == "server at http://host:1/v1"
    assert "word" not in f"{client.host} {client._failure(OSError())}"
