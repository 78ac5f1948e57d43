"""dpo.py when it is killed, stopped, out of numbers or out of disk."""

import json
import math
import re
import shutil
import signal
import subprocess
import sys
import time
from contextlib import contextmanager

import pytest
from dpo_runs import FAST, LONG, record, step_of

from palate.core import hub as client
from palate.core.paths import shipped


@pytest.mark.slow
def test_a_run_killed_three_times_ends_as_if_it_had_not_been(
    labelled, jobs, reference, chance, tmp_path
):
    one = reference(*LONG)
    last = one["history"][-1]["step"]
    moments = sorted(chance.sample(range(1, last), 3))
    for moment in moments:
        with jobs.start("dpo", labelled.id, *LONG) as process:
            while step_of(tmp_path / "cache") < moment:
                assert process.poll() is None, process.communicate()
                time.sleep(0.01)
            process.kill()
    assert not client.exists(labelled.model_repo, "model")
    said = jobs("dpo", labelled.id, *LONG)
    assert re.search(r"Continuing after step \d+", said) or moments[-1] < 3, said
    assert not list((tmp_path / "cache" / "training").iterdir())
    two = record(labelled.model_repo)
    for key in ("loss", "test_loss", "reward_margin", "test_reward_accuracy", "test_logp_chosen"):
        one_curve, two_curve = (
            [math.inf if p[key] is None else p[key] for p in run["history"]] for run in (one, two)
        )
        assert two_curve == pytest.approx(one_curve, rel=1e-4, abs=1e-5), (key, moments)
    assert one["results"]["best_step"] == two["results"]["best_step"]
    assert one["results"]["test_loss"] == pytest.approx(two["results"]["test_loss"], rel=1e-4)


@pytest.mark.slow
def test_a_run_whose_machine_is_lost_goes_on_on_another(labelled, jobs, tmp_path):
    flags = (*LONG, "--checkpoint-to-hub")
    with jobs.start("dpo", labelled.id, *flags) as process:
        while "checkpoint" not in branches(labelled.model_repo) or not checkpoints(labelled):
            assert process.poll() is None, process.communicate()
            time.sleep(0.05)
        process.kill()
    shutil.rmtree(tmp_path / "cache")
    said = jobs("dpo", labelled.id, *flags)
    assert f"Took the last checkpoint from {labelled.model_repo}" in said
    assert re.search(r"Continuing after step \d+", said)
    assert branches(labelled.model_repo) == ["main"]
    steps = [p["step"] for p in record(labelled.model_repo)["history"]]
    assert steps == list(range(1, len(steps) + 1))


def branches(repo: str) -> list[str]:
    return client.branches(repo, "model") if client.exists(repo, "model") else []


def checkpoints(project) -> list[str]:
    files = client.describe(project.model_repo, "model", "checkpoint")[1]
    return [f for f in files if f.endswith("trainer_state.json")]


@pytest.mark.slow
def test_ctrl_c_says_how_to_continue(labelled, jobs):
    code = (
        "import sys; from palate.run.jobs import job_named; from palate.run.local import run_job\n"
        f"sys.exit(run_job(job_named('train'), ['{labelled.id}', '--epochs', '50']))"
    )
    with jobs.python("-c", code) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if re.search(r"step +\d+/", line):
                break
        process.send_signal(signal.SIGINT)
        out = process.stdout.read()
    assert process.returncode == 130
    assert "To continue, run the same command again: palate train " in out
    assert f"palate train {labelled.id} --epochs 50.0" in out


@pytest.mark.slow
def test_a_loss_that_is_no_number_stops_the_run(labelled, jobs):
    said = jobs("dpo", labelled.id, "--learning-rate", "1e30", "--epochs", "1", code=1)
    assert re.search(r"palate: The loss was not a number at step \d", said)
    assert not client.exists(labelled.model_repo, "model")


@contextmanager
def only_reading(hub):
    """Let the token of user `me` read and no more."""
    file = hub.root / "users.json"
    before = file.read_text()
    users = json.loads(before)
    users["me"] |= {"token": f"hf_{'x' * 20}", "read_token": users["me"]["token"]}
    file.write_text(json.dumps(users))
    try:
        yield
    finally:
        file.write_text(before)


def test_a_token_that_only_reads_is_refused_before_the_training(labelled, jobs, hub):
    with only_reading(hub):
        said = jobs("dpo", labelled.id, *FAST, code=2)
    assert f"The token may only read, and the model would go to {labelled.model_repo}." in said


@pytest.mark.slow
def test_what_could_not_be_pushed_is_pushed_by_the_same_command(labelled, jobs, tmp_path, hub):
    with jobs.start("dpo", labelled.id, *FAST) as process:
        while step_of(tmp_path / "cache") < 1:
            assert process.poll() is None, process.communicate()
            time.sleep(0.01)
        with only_reading(hub):  # the token loses a right while the model is trained
            said = "".join(process.communicate())
    assert process.returncode == 1, said
    assert "it will not train again: palate train" in said
    (work,) = (tmp_path / "cache" / "training").iterdir()
    assert (work / "model" / "model.safetensors").exists()
    said = jobs("dpo", labelled.id, *FAST)
    assert "Training is done" in said
    assert record(labelled.model_repo)["model"] == labelled.model_repo


@pytest.mark.slow
def test_no_space_left_while_saving_loses_nothing(labelled, jobs, tmp_path):
    mount = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c"]
    if subprocess.run([*mount, f"mount -t tmpfs none {tmp_path}"], check=False).returncode:
        pytest.skip("no user may mount a small disk here")
    (tmp_path / "cache").mkdir()
    script = f'mount -t tmpfs -o size=2m none {tmp_path / "cache"} && exec "$@"'
    words = [sys.executable, str(shipped("jobs") / "dpo.py"), labelled.id, *FAST]
    done = subprocess.run(
        [*mount, script, "sh", *words], env=jobs.env, capture_output=True, text=True
    )
    assert done.returncode == 1
    assert "palate: No space is left on the disk of" in done.stderr
    assert "Free some space, and run the same command again: palate train" in done.stderr
    assert "Traceback" not in done.stderr
    assert not client.exists(labelled.model_repo, "model")
