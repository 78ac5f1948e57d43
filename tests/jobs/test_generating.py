"""candidates.py and completions.py against the local Hub."""

import json
import signal
from collections import Counter
from dataclasses import replace

import pytest
import tiny_model

from palate.collect import importing
from palate.core import hub as client
from palate.core.paths import shipped
from palate.core.project import Project
from palate.core.schema import Prompt, pairs_of

SHORT = ("--max-new-tokens", "24", "--temperature", "1.0")


@pytest.mark.slow
def test_candidates_for_all_but_the_eval_prompts_once(project, base_model, jobs):
    said = jobs("candidates", project.id, "--per-prompt", "3", *SHORT)
    after = Project.load(project.id)
    rows = after.candidates
    split = {p.id: p.split for p in after.prompts}
    assert Counter(split[c.prompt_id] for c in rows) == {"train": 24 * 3, "test": 6 * 3}
    assert {(c.model, c.round) for c in rows} == {(base_model, 1)}
    assert {c.revision for c in rows} == {client.describe(base_model, "model")[0]}
    assert f"{len(pairs_of(rows))} pairs to label" in said
    assert f"palate label {project.id}" in said

    said = jobs("candidates", project.id, "--per-prompt", "3", *SHORT)
    assert "0 of 30 prompts need completions" in said
    assert Project.load(project.id).revision == after.revision


@pytest.mark.slow
def test_candidates_continue_where_they_were_killed(project, jobs):
    jobs.env["PALATE_PUBLISH_SECONDS"] = "0"
    flags = (project.id, "--per-prompt", "4", "--batch-size", "4", *SHORT)
    with jobs.start("candidates", *flags) as process:
        while len(Project.load(project.id).paths("candidates")) < 3:
            assert process.poll() is None, process.communicate()
        process.send_signal(signal.SIGKILL)
    kept = Project.load(project.id).candidates
    assert kept
    jobs("candidates", *flags)
    rows = Project.load(project.id).candidates
    assert rows[: len(kept)] == kept
    assert len({c.id for c in rows}) == len(rows)
    assert set(Counter(c.prompt_id for c in rows).values()) == {4}
    assert len({c.prompt_id for c in rows}) == 30


@pytest.mark.slow
def test_candidates_keep_what_is_finished_at_ctrl_c(project, jobs):
    jobs.env["PALATE_PUBLISH_SECONDS"] = "0"
    flags = ("--batch-size", "4", "--max-new-tokens", "160")  # long enough to be interrupted
    with jobs.start("candidates", project.id, *flags) as process:
        while not Project.load(project.id).paths("candidates"):
            assert process.poll() is None, process.communicate()
        process.send_signal(signal.SIGINT)
        out, err = process.communicate()
    assert process.returncode == 130
    assert "Traceback" not in err
    assert "Run the same command again to continue." in out
    assert f"{len(Project.load(project.id).candidates)} candidates are in" in out


def test_a_model_without_safetensors_is_refused(project, jobs, repo_id):
    repo = f"{repo_id}-pickle"
    client.create(repo, "model")
    client.commit(repo, "model", {"pytorch_model.bin": b"x", "config.json": "{}"}, "x")
    said = jobs("candidates", project.id, "--model", repo, code=2)
    assert said.startswith(f"palate: {repo} holds no model.safetensors")


def test_a_model_without_chat_template_is_refused(project, jobs, base_model, repo_id):
    repo = f"{repo_id}-plain"
    sha, files = client.describe(base_model, "model")
    names = [f for f in files if f not in (".gitattributes", "chat_template.jinja")]
    local = client.fetch(base_model, "model", sha, names)
    client.create(repo, "model")
    client.commit(repo, "model", dict(zip(names, local, strict=True)), "No template")
    said = jobs("candidates", project.id, "--model", repo, code=2)
    assert f"palate: {repo} has no chat template" in said


def test_completions_need_a_model(project, jobs):
    said = jobs("completions", project.id, code=2)
    assert said == (
        f"palate: There is no model {project.id}-dpo yet."
        f" Train it with: palate train {project.id}\n"
    )


def texts(project_id: str) -> list[tuple]:
    rows = Project.load(project_id).candidates
    return sorted((c.id, c.prompt_id, c.text, str(c.sampling), c.round) for c in rows)


def done(project_id: str, shard: int) -> list[int] | None:
    """Return the groups that a shard of 16 has committed, None before it has begun."""
    project = Project.load(project_id)
    paths = [p for p in project.files if p.endswith(f"/{shard}-of-16.json")]
    files = client.fetch(project_id, "dataset", project.revision, paths) if paths else []
    return json.loads(files[0].read_text("utf-8"))["done"] if files else None


# one process for what are sixteen jobs, since most of a job's time is loading PyTorch
ALL_SHARDS = """
import runpy, sys
words = sys.argv[1:]
for n in range(1, 17):
    sys.argv = ["jobs/candidates.py", *words, "--shard", f"{{n}}/16"]
    try:
        runpy.run_path({file!r}, run_name="__main__")
    except SystemExit as end:
        assert not end.code
"""


@pytest.mark.slow
def test_sixteen_shards_of_which_three_are_killed_write_what_one_job_writes(
    project, base_model, jobs, chance
):
    jobs.env["PALATE_PUBLISH_SECONDS"] = "0"
    settings = replace(project.settings, base_model=base_model)
    prompts = [Prompt.of(tiny_model.prompt(i)) for i in range(40)]
    whole = importing.start_project(f"{project.id}-whole", prompts, settings)
    flags = ("--per-prompt", "4", "--batch-size", "4", *SHORT)  # a prompt is a group
    jobs("candidates", whole.id, *flags)

    killed = chance.sample(range(1, 15), 3)  # these have two groups each
    for n in killed:
        with jobs.start("candidates", project.id, "--shard", f"{n}/16", *flags) as process:
            while not done(project.id, n):
                assert process.poll() is None, process.communicate()
            process.kill()
        assert process.returncode == -signal.SIGKILL
    kept = {n: done(project.id, n) for n in killed}
    code = ALL_SHARDS.format(file=str(shipped("jobs") / "candidates.py"))
    run = jobs.run("-c", code, project.id, *flags)
    assert run.returncode == 0, run.stdout + run.stderr
    said = run.stdout.split("shard ")[1:]
    assert texts(project.id) == texts(whole.id), kept
    assert len({row[0] for row in texts(project.id)}) == len(texts(project.id))
    for n, groups in kept.items():
        assert groups
        left = 2 - len(groups)
        assert f"{left} of 2 prompts need completions" in said[n - 1]


@pytest.mark.parametrize("wrong", ["0/16", "17/16", "x"])
def test_what_is_no_shard_is_wrong_usage(wrong, jobs):
    said = jobs("candidates", "me/titles", "--shard", wrong, code=2)
    assert said == (
        f"palate: There is no shard '{wrong}'; expected one such as 3/16, from 1/16 to 16/16.\n"
    )
