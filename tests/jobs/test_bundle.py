"""What a job on HF Jobs gets: its file, its palate, its packages and its machine."""

import re

import pytest

from palate.core import hub as client
from palate.core.paths import shipped
from palate.run import bundle, forecast
from palate.run.jobs import job_named


def test_the_same_code_is_put_into_the_project_once(project):
    first = bundle.ship(project.id, "dpo")
    sha, files = client.describe(project.id, "dataset")
    assert all(f"/datasets/{project.id}/resolve/{sha}/jobs/" in address for address in first)
    assert bundle.ship(project.id, "dpo") == first
    _, file = bundle.ship(project.id, "judge")
    after, more = client.describe(project.id, "dataset")
    assert sha != after
    assert file.endswith("/judge.py")
    assert sorted({*more} - {*files}) == [file.partition(f"/resolve/{after}/")[2]]
    # what was written by a launcher with other versions is replaced, the commits before stay
    client.commit(project.id, "dataset", {first[1].partition(f"{sha}/")[2]: "# other"}, "Other")
    again = bundle.ship(project.id, "dpo")
    assert again[1].rpartition("/jobs/")[2] == first[1].rpartition("/jobs/")[2]
    assert again != first


@pytest.mark.parametrize("job", ["candidates", "completions", "dpo", "judge", "sft"])
def test_a_shipped_file_needs_no_palate_from_an_index(job):
    before = (shipped("jobs") / f"{job}.py").read_text("utf-8")
    text = bundle.portable(before)
    head = text.partition('"""')[0]
    assert '"palate' not in head
    assert "tool.uv" not in head
    assert re.search(r'(?m)^#   "torch==\d+\.\d+\.\d+",$', head)
    assert text.partition('"""')[2] == before.partition('"""')[2]


@pytest.mark.parametrize(
    ("job", "words", "more"),
    [
        ("candidates", ["--engine", "vllm"], ["vllm>=0.10"]),
        ("train", ["--method", "qlora", "--trackio"], ["bitsandbytes", "trackio"]),
        ("train", ["--accelerate", "zero3", "--processes", "8"], ["deepspeed"]),
        ("judge", ["--model", "some/judge"], []),
    ],
)
def test_what_a_job_is_asked_brings_its_packages(job, words, more):
    spec = job_named(job)
    assert spec.packages(spec.parse(["me/titles", *words])) == more


def test_every_job_can_be_reckoned(labelled, base_model):
    client.api().create_repo(labelled.model_repo)
    client.api().create_tag(labelled.model_repo, tag="round-1")

    def load(name: str, *words: str) -> forecast.Load:
        spec = job_named(name)
        return spec.load(spec.parse([labelled.id, *words]), labelled)

    loads = {
        job: load(job, *words)
        for job, words in {
            "candidates": [],
            "completions": ["--per-prompt", "2"],
            "train": ["--method", "lora", "--reckless"],
            "judge": ["--model", base_model, "--pairs", "5"],
            "sft": ["--processes", "2"],
        }.items()
    }
    elsewhere = ("--model", "auto:a/model", "--pairs", "5")
    assert load("judge", *elsewhere) == forecast.asking()
    for words, what in (
        (["--engine", "http://127.0.0.1:8000/v1"], forecast.asking().what),
        (["--shard", "3/16"], "writing 8 texts of at most 256 tokens"),
        (
            ["--engine", "vllm", "--tensor-parallel", "2"],
            "writing 120 texts of at most 256 tokens on 2 GPUs",
        ),
    ):
        assert load("candidates", *words).what == what
    assert loads["judge"].what == "writing 10 texts of at most 6 tokens"
    assert loads["candidates"].what == "writing 120 texts of at most 256 tokens"
    assert loads["completions"].what == "writing 40 texts of at most 256 tokens"
    assert loads["train"].what.startswith("lora training on about ")
    assert re.fullmatch(r"full training on about [\d,]+ tokens on 2 GPUs", loads["sft"].what)
    # 24 train prompts in two rounds, 6 test prompts before and after each
    best = load("sft", "--from", "best", "--n", "4")
    assert best.what.startswith("writing 264 texts of at most 256 tokens, full training on about ")
    assert best.reads > 0
    assert best.operations > 0
