"""Jobs on HF Jobs, through the local Hub, which runs them with uv as the real one does."""

import json
import os
import pty
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from forking import FastPython

from palate.core import hub as client
from palate.core.paths import shipped
from palate.run import bundle, forecast, hf_jobs
from palate.run.jobs import job_named
from palate.run.local import child_environment

FAST = ("--learning-rate", "1e-3", "--epochs", "2")
HF = ("--on", "hf", "--yes")


class Palate:
    """The command line as a person types it, in processes of its own."""

    def __init__(self, python: FastPython):
        self._python = python

    def start(self, *args: str, stdin: int = subprocess.DEVNULL, **env: str) -> subprocess.Popen:
        code = (  # a shell in the background ignores SIGINT, and so would what it starts
            "import signal; signal.signal(signal.SIGINT, signal.default_int_handler);"
            "from palate.cli import main; main()"
        )
        return self._python.start(
            "-uc", code, *args,
            env={**child_environment(), "COLUMNS": "80", **env},
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )  # fmt: skip

    def __call__(self, *args: str, code: int = 0, stdin: int = subprocess.DEVNULL, **env) -> str:
        with self.start(*args, stdin=stdin, **env) as process:
            said, _ = process.communicate()
        assert process.returncode == code, said
        assert "Traceback" not in said
        return said


@pytest.fixture
def palate(fast_python) -> Palate:
    return Palate(fast_python)


def lines_until(process: subprocess.Popen, pattern: str) -> list[str]:
    """Read what a process says up to a line with `pattern`; fails if that does not come."""
    said = []
    assert process.stdout is not None
    for line in process.stdout:
        said.append(line)
        if re.search(pattern, line):
            return said
    raise AssertionError("".join(said))


def processes_of(job: str) -> Iterator[int]:
    """Yield the processes of a job, which bear its id in their environment."""
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if f"JOB_ID={job}".encode() in (folder / "environ").read_bytes().split(b"\0"):
                yield int(folder.name)


def kill(job: str) -> None:
    for pid in processes_of(job):
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def record(repo: str) -> dict:
    sha, _ = client.describe(repo, "model")
    return json.loads(client.fetch(repo, "model", sha, ["run.json"])[0].read_text("utf-8"))


@pytest.mark.slow
def test_a_training_runs_from_what_was_put_into_the_project(labelled, palate, hub):
    said = palate("train", labelled.id, *FAST, "--processes", "2", *HF)
    # as many GPUs as processes; here they run on the CPU that the local Hub has
    assert "machine: a10g-largex2 (2 × A10G, 24 GB, $3.00 an hour)" in said
    assert re.search(r"about \d min and \$0\.1\d, within a factor of two", said)
    assert "training 12/12 (loss" in said
    assert "done: " in said
    assert record(labelled.model_repo)["results"]["best_step"] == 12

    (job,) = hf_jobs.jobs_of(labelled.id)
    assert job.command[:3] == ["uv", "run", "--with"]
    sha, files = client.describe(labelled.id, "dataset")
    assert all(f"/resolve/{sha}/jobs/" in word for word in job.command[3:5])
    assert hub.token not in json.dumps([job.command, job.environment, job.labels])
    shipped = [f for f in files if f.startswith("jobs/")]
    assert sorted(f.rpartition("/")[2] for f in shipped) == ["dpo.py", bundle.WHEEL]

    table = palate("jobs", labelled.id)
    assert max(map(len, table.splitlines())) <= 80
    assert re.search(rf"{job.id[:8]} +train +.*a10g-largex2 .+, \$0.\d\d +done, accuracy", table)
    assert "has already ended: done" in palate("jobs", labelled.id, "--cancel", job.id[:8])
    assert "training 12/12" in palate("jobs", labelled.id, "--follow", job.id[:8])


@pytest.mark.slow
def test_a_job_killed_twice_ends_as_if_it_had_not_been(labelled, palate, jobs):
    flags, whole = (*FAST[:2], "--epochs", "4"), f"{labelled.model_repo}-whole"
    jobs("dpo", labelled.id, *flags, "--output", whole)
    with palate.start("train", labelled.id, *flags, *HF) as process:
        said = "".join(lines_until(process, r"step +4/"))
        kill(hf_jobs.jobs_of(labelled.id)[0].id)
        lines_until(process, r"step +12/")
        kill(hf_jobs.jobs_of(labelled.id)[0].id)
        rest = "".join(process.stdout)
    assert process.returncode == 0, rest
    assert "machine: cpu-basic (no GPU, 16 GB, $0.01 an hour)" in said
    assert "about 3 min and <$0.01" in said
    assert "Took the last checkpoint from" in rest
    one, other = record(whole)["results"], record(labelled.model_repo)["results"]
    assert other["best_step"] == one["best_step"]
    assert other["test_loss"] == pytest.approx(one["test_loss"], abs=1e-4)
    assert "checkpoint" not in client.branches(labelled.model_repo, "model")


@pytest.mark.slow
def test_ctrl_c_detaches_and_a_job_that_was_ended_goes_on_with_the_same_command(labelled, palate):
    flags = (*FAST[:2], "--epochs", "4")
    with palate.start("train", labelled.id, *flags, *HF) as process:
        lines_until(process, r"step +4/")
        process.send_signal(signal.SIGINT)
        said, _ = process.communicate()
    (job,) = hf_jobs.jobs_of(labelled.id)
    assert job.status.stage == "RUNNING"
    assert "is cancelled" in hf_jobs.cancel(labelled.id, job.id[:6])
    assert process.returncode == 130
    assert f"palate jobs {labelled.id} --follow {job.id[:8]}" in said
    assert hf_jobs.job_with(labelled.id, job.id).status.stage == "CANCELED"
    said = palate("jobs", labelled.id, "--follow", job.id[:8], code=1)
    assert "The job was cancelled. The same command starts it again" in said

    said = palate("train", labelled.id, *flags, *HF)
    assert "Took the last checkpoint from" in said
    assert re.search(r"Continuing after step \d", said)
    assert record(labelled.model_repo)["history"][-1]["step"] == 24
    listed = palate("jobs", labelled.id)
    assert "cancelled" in listed
    assert "done" in listed


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


def test_nobody_to_ask_means_nothing_is_started(labelled, palate):
    said = palate("train", labelled.id, "--on", "hf", code=2)
    assert "Add --yes to start it" in said
    assert hf_jobs.jobs_of(labelled.id) == []
    assert not [f for f in client.describe(labelled.id, "dataset")[1] if f.startswith("jobs/")]
    assert "Nothing ran on HF Jobs yet" in palate("jobs", labelled.id)


@pytest.mark.parametrize("answer", [b"n\n", b"\x04"], ids=["no", "Ctrl-D"])
def test_a_person_is_asked(labelled, palate, answer):
    ours, theirs = pty.openpty()
    os.write(ours, answer)
    said = palate("train", labelled.id, "--on", "hf", code=1, stdin=theirs)
    assert "Start it? [y/N]" in said
    assert "Nothing was started" in said
    for handle in (ours, theirs):
        os.close(handle)


def test_a_flavour_that_is_not_there_and_flags_that_the_job_does_not_know(
    labelled, palate, tmp_path
):
    said = palate("train", labelled.id, "--flavor", "a100-huge", *HF, code=2)
    assert "no flavor 'a100-huge'; expected one of cpu-basic, " in said
    assert "h200" in said
    fast = ("--method", "lora", "--learning-rate", "1e-3")
    said = palate("train", labelled.id, *fast, *HF, code=2)
    assert "--reckless" in said
    said = palate("train", labelled.id, "--epoch", "2", *HF, code=2)
    assert "--epochs" in said
    several = ("--processes", "4")
    said = palate("train", labelled.id, *several, "--flavor", "l4x1", *HF, code=2)
    assert "needs 4 GPUs, and l4x1 has 1" in said
    parted = ("--method", "full", "--accelerate", "fsdp2")
    said = palate("train", labelled.id, *several, *parted, "--flavor", "cpu-xl", *HF, code=2)
    assert "shards a model over GPUs, and cpu-xl has none" in said
    said = palate("train", labelled.id, *parted, *HF, code=2)
    assert "Say how many with --processes" in said
    said = palate("sft", labelled.id, *several, *parted[2:], "--method", "lora", *HF, code=2)
    assert "SFT merges an adapter into its base model" in said
    file = tmp_path / "own.yaml"
    file.write_text("{}")
    said = palate("train", labelled.id, *several, "--accelerate", str(file), *HF, code=2)
    assert "HF Jobs does not see the file" in said
    said = palate("candidates", labelled.id, "--engine", "vlm", *HF, code=2)
    assert "There is no engine 'vlm'" in said
    assert "--flavor and --yes need --on hf" in palate("train", labelled.id, "--yes", code=2)
    assert "expected one argument" in palate("train", labelled.id, "--on", code=2)
    assert "expected local, hf or slurm" in palate("train", labelled.id, "--on=cloud", code=2)
    assert hf_jobs.jobs_of(labelled.id) == []


def test_payment_required_is_one_plain_line(labelled, palate, without_credit):
    said = palate("train", labelled.id, *HF, code=1)
    last = said.splitlines()[-1]
    assert last.startswith("palate: HF Jobs is prepaid, and me's credit is too low")
    assert "/settings/billing" in last
    assert hf_jobs.jobs_of(labelled.id) == []


def test_without_the_right_to_write_or_to_run_jobs(labelled, palate, hub):
    base = labelled.settings.base_model
    for repo, kind in ((labelled.id, "dataset"), (base, "model")):
        client.api().update_repo_settings(repo, repo_type=kind, private=False)
    said = palate("candidates", labelled.id, *HF, code=1, HF_TOKEN=hub.tokens["you"])
    client.api().update_repo_settings(base, repo_type="model", private=True)
    assert f"The token may not write to {labelled.id}" in said
    said = palate("jobs", labelled.id, code=1, HF_TOKEN=hub.tokens["you"])
    assert "The token may not use the jobs of me" in said
    assert "has no job 'abc'" in palate("jobs", labelled.id, "--follow", "abc", code=2)
    said = palate("jobs", labelled.id, "--follow", "abc", "--cancel", "abc", code=2)
    assert "do not go together" in said


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
    elsewhere = ("--model", "a-model", "--pairs", "5", "--provider", "auto")
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


def test_the_table_holds_the_projects_own_jobs_and_fits_a_narrow_terminal(repo_id, palate):
    near = f"{repo_id}.x"
    assert hf_jobs.label_of(near) == hf_jobs.label_of(f"{repo_id}-x")

    def run(project: str, name: str, flavor: str, code: str):
        job = client.api().run_job(
            image="any",
            command=[sys.executable, "-c", code, project],
            flavor=flavor,
            labels={hf_jobs.PROJECT_LABEL: hf_jobs.label_of(project), hf_jobs.JOB_LABEL: name},
        )
        list(client.api().fetch_job_logs(job_id=job.id, follow=True))
        return job

    failed = run(near, "completions", "rtx-pro-6000x8", "raise SystemExit(3)")
    done = run(near, "judge", "cpu-basic", "pass")
    run(f"{repo_id}-x", "judge", "cpu-basic", "pass")
    table = palate("jobs", near)
    first, second = table.splitlines()[1:3]
    assert re.fullmatch(rf"{done.id[:8]} judge +.* cpu-basic .+ done *", first)
    assert re.match(rf"{failed.id[:8]} completions .* rtx-pro-6000x8 ", second)
    assert "failed: exit code: 3" in table
    assert max(map(len, table.splitlines())) <= 80
    said = palate("jobs", near, "--follow", failed.id[:8], code=1)
    assert "The job failed (Job failed with exit code: 3) after 1 attempt." in said
