"""What is asked and refused before a job starts on HF Jobs, and the table of jobs."""

import os
import pty
import re
import sys

import pytest

from palate.core import hub as client
from palate.label import steps

HF = ("--on", "hf", "--yes")


def test_nobody_to_ask_means_nothing_is_started(labelled, palate):
    said = palate("train", labelled.id, "--on", "hf", code=2)
    assert "Add --yes to start it" in said
    said = palate("train", labelled.id, "--on", "hf", "--dry-run")
    assert "an attempt is stopped after" in said
    assert steps.jobs_of(labelled.id) == []
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
    assert "SFT merges its adapter into the base model" in said
    file = tmp_path / "own.yaml"
    file.write_text("{}")
    said = palate("train", labelled.id, *several, "--accelerate", str(file), *HF, code=2)
    assert "HF Jobs does not see the file" in said
    said = palate("candidates", labelled.id, "--engine", "vlm", *HF, code=2)
    assert "There is no engine 'vlm'" in said
    assert "need --on hf" in palate("train", labelled.id, "--yes", code=2)
    assert "expected one argument" in palate("train", labelled.id, "--on", code=2)
    assert "expected local, hf or slurm" in palate("train", labelled.id, "--on=cloud", code=2)
    assert steps.jobs_of(labelled.id) == []


def test_payment_required_is_one_plain_line(labelled, palate, without_credit):
    said = palate("train", labelled.id, *HF, code=1)
    last = said.splitlines()[-1]
    assert last.startswith("palate: HF Jobs is prepaid, and me's credit is too low")
    assert "/settings/billing" in last
    assert steps.jobs_of(labelled.id) == []


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


def test_the_table_holds_the_projects_own_jobs_and_fits_a_narrow_terminal(repo_id, palate):
    near = f"{repo_id}.x"
    assert steps.label_of(near) == steps.label_of(f"{repo_id}-x")

    def run(project: str, name: str, flavor: str, code: str):
        job = client.api().run_job(
            image="any",
            command=[sys.executable, "-c", code, project],
            flavor=flavor,
            labels={steps.PROJECT_LABEL: steps.label_of(project), steps.JOB_LABEL: name},
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
