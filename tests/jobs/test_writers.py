"""One writer for every model: servers that fail, change or refuse, and several models at once."""

import threading
import time
from collections import Counter
from dataclasses import replace

import pytest
from huggingface_hub import constants, get_token
from huggingface_hub.hf_api import InferenceProviderMapping
from huggingface_hub.inference._providers._common import HARDCODED_MODEL_INFERENCE_MAPPING
from openai_server import OpenAIServer

from palate.collect import importing
from palate.core import hub as client
from palate.core.errors import PalateError, UsageError
from palate.core.paths import cache
from palate.core.project import Project, Settings
from palate.core.schema import Prompt
from palate.generate import engines
from palate.generate.candidates import write_candidates
from palate.generate.config import CandidatesArguments

NAME = "llama3.2:3b"  # as Ollama calls a model


class Writer(OpenAIServer):
    """Writes what the prompt and the seed say; asked twice for the same, it counts that."""

    def __init__(self, *models: str):
        super().__init__(*models)
        self.paid: Counter[tuple] = Counter()
        self.refusals = 0
        self.at_once = self.most = 0
        self.seconds = 0.0
        self._lock = threading.Lock()

    def trouble(self, body):
        with self._lock:
            self.refusals += 1
            if self.refusals % 10 == 0:
                return 500, {}
            return (429, {"Retry-After": "0"}) if self.refusals % 23 == 0 else None

    def answer(self, body):
        with self._lock:
            self.paid[body["messages"][-1]["content"], body["seed"]] += 1
            self.at_once += 1
            self.most = max(self.most, self.at_once)
        time.sleep(self.seconds)
        with self._lock:
            self.at_once -= 1
        return f"{body['messages'][-1]['content']} {body['seed']}", "stop"


@pytest.fixture
def server():
    with Writer(NAME, "other") as made:
        yield made


@pytest.fixture(autouse=True)
def _quick(monkeypatch, tmp_path):
    """Retries wait a hundredth of the time; replies are kept in a folder of this test."""
    monkeypatch.setenv("PALATE_CACHE", str(tmp_path / "cache"))
    sleep = time.sleep
    monkeypatch.setattr("palate.core.hub_errors.time.sleep", lambda s: sleep(s / 100))


@pytest.fixture
def prompts(hub, repo_id) -> Project:
    settings = replace(Settings(), test=0.1, eval=0.1)
    return importing.start_project(repo_id, [Prompt.of(f"Idea {i}") for i in range(40)], settings)


def arguments(project: Project, server: Writer, **more) -> CandidatesArguments:
    given = {"model": (NAME,), "engine": server.url, "batch_size": 8, "per_prompt": 2} | more
    return CandidatesArguments(project.id, **given)


def test_errors_cost_nothing_twice_and_who_served_is_recorded(prompts, server, capsys):
    server.seconds = 0.01
    write_candidates(arguments(prompts, server))
    rows = Project.load(prompts.id).candidates
    assert set(Counter(c.prompt_id for c in rows).values()) == {2}
    assert len(rows) == 72
    assert set(server.paid.values()) == {1}
    assert 1 < server.most <= engines.CONNECTIONS
    host = server.url.split("/")[2]
    assert {(c.model, c.revision[:-11]) for c in rows} == {(NAME, f"served by {host} on")}
    out = capsys.readouterr().out
    assert f"{NAME} at {host}: 72 replies, 72 tokens read, 72 written" in out
    assert list((cache() / "replies").iterdir()) == []


def test_an_interrupted_run_asks_for_no_reply_twice(prompts, server):
    server.fails_from = 31
    with pytest.raises(PalateError, match="What it wrote so far is kept"):
        write_candidates(arguments(prompts, server))
    kept = Counter(server.paid)
    server.fails_from = float("inf")
    write_candidates(arguments(prompts, server))
    assert len(Project.load(prompts.id).candidates) == 72
    answered = [key for key, n in kept.items() if n == 1]
    twice = [key for key in answered if server.paid[key] > 1]
    assert len(kept) > 31
    assert len(twice) <= len(kept) - 31  # only those that got a 500 instead of their reply


def test_the_next_day_there_is_nothing_to_write(prompts, server, monkeypatch):
    write_candidates(arguments(prompts, server))
    asked = len(server.asked)

    class Tomorrow(engines.datetime):
        @classmethod
        def now(cls, tz=None):
            return engines.datetime(2099, 1, 1, tzinfo=tz)

    monkeypatch.setattr(engines, "datetime", Tomorrow)
    write_candidates(arguments(prompts, server))
    assert len(server.asked) == asked


def test_several_models_write_in_one_run(prompts, server, capsys):
    write_candidates(arguments(prompts, server, model=(NAME, "other"), longest=9))
    rows = Project.load(prompts.id).candidates
    assert Counter(c.model for c in rows) == Counter()
    out = capsys.readouterr().out
    assert "longer than 9 characters" in out
    write_candidates(arguments(prompts, server, model=(NAME, "other")))
    rows = Project.load(prompts.id).candidates
    assert Counter(c.model for c in rows) == {NAME: 72, "other": 72}


def test_a_model_that_changes_in_the_middle_is_noticed(prompts, server):
    answered = server.answer

    def answer(body):
        server.answers_as = "another" if len(server.asked) > 20 else None
        return answered(body)

    server.answer = answer
    with pytest.raises(PalateError, match=r"changed its model in the middle .* as another and as"):
        write_candidates(arguments(prompts, server))


def test_what_a_server_does_not_take_is_said(prompts, server, capsys):
    server.refused = ("seed", "top_p")
    server.answer = lambda body: (f"{len(server.asked)}", "stop")
    write_candidates(arguments(prompts, server))
    assert "takes no seed and no top_p: it used its own." in capsys.readouterr().out


@pytest.mark.parametrize(
    ("status", "said"),
    [
        (401, "refuses the key (401). Put a valid one in SERVER_API_KEY"),
        (402, "because the credit of this account is spent"),
        (429, "takes no more requests now (429), because there were too many"),
        (404, "refuses the request (404)"),
        (503, "does not answer"),
    ],
)
def test_a_refusal_is_one_plain_sentence(status, said, prompts, server):
    server.trouble = lambda body: (status, {})
    with pytest.raises(PalateError) as error:
        write_candidates(arguments(prompts, server))
    assert said in str(error.value)
    assert error.value.exit_code == 1


def test_providers_are_told_from_repos():
    assert engines.provider_of("auto:Qwen/Qwen2.5-7B") == ("auto", "Qwen/Qwen2.5-7B")
    assert engines.provider_of("me/titles-dpo@round-1") is None
    with pytest.raises(UsageError, match=r"There is no Inference Provider 'llama3\.2'"):
        engines.find("transformers", NAME)
    remote = engines.find("transformers", "together:Qwen/Qwen2.5-7B")
    assert remote.named.repo == "Qwen/Qwen2.5-7B"
    assert remote.named.revision.startswith("served by together on 20")


def test_a_provider_is_asked_with_the_hubs_token_and_recorded_by_its_name(
    prompts, server, monkeypatch, capsys
):
    """The real client, but for the router's address and the model's name at the provider."""
    name = "Qwen/Qwen2.5-7B-Instruct"
    known = InferenceProviderMapping(
        hf_model_id=name,
        provider="together",
        providerId="qwen-7b",
        task="conversational",
        status="live",
    )
    monkeypatch.setitem(HARDCODED_MODEL_INFERENCE_MAPPING, "together", {name: known})
    router = f"http://127.0.0.1:{server.server_port}/{{provider}}"
    monkeypatch.setattr(constants, "INFERENCE_PROXY_TEMPLATE", router)
    monkeypatch.setenv("SERVER_API_KEY", "sk-not-for-providers")
    models = (f"together:{name}", f"together:{name}")
    write_candidates(
        arguments(prompts, server, model=models, engine="transformers", temperature=(0.7, 1.0))
    )
    rows = Project.load(prompts.id).candidates
    assert len(rows) == 72
    assert {(c.model, c.revision[:-11]) for c in rows} == {(name, "served by together on")}
    assert {c.sampling["temperature"] for c in rows} == {0.7, 1.0}
    assert {body["model"] for body in server.asked} == {"qwen-7b"}
    assert server.keys == {f"Bearer {get_token()}"}
    assert f"{name} at together: 72 replies" in capsys.readouterr().out


def test_of_a_file_only_its_name_is_recorded(prompts, server):
    server.models = ("/home/me/models/tea-q4.gguf",)
    write_candidates(arguments(prompts, server, model=server.models))
    assert {c.model for c in Project.load(prompts.id).candidates} == {"tea-q4.gguf"}
    assert {body["model"] for body in server.asked} == set(server.models)


def test_shards_take_one_model(prompts, server):
    with pytest.raises(UsageError, match="Shards share the run of one model"):
        write_candidates(arguments(prompts, server, model=(NAME, "other"), shard="1/2"))
    assert client.describe(prompts.id, "dataset")[0] == prompts.revision
