"""Jobs run on this machine as the client sends them, and end when told to."""

import sys
import time
from pathlib import Path

import pytest
from huggingface_hub import HfApi, JobHardware
from huggingface_hub.errors import HfHubHTTPError
from living import marked

from palate.localhub import LocalHub, isolation
from palate.localhub.errors import ServeError
from palate.localhub.processes import Apart

needs_namespaces = pytest.mark.skipif(
    not isolation.supported(), reason="this system has no user namespaces"
)

ENDED = ("COMPLETED", "ERROR", "CANCELED")


def follow(api: HfApi, job) -> list[str]:
    return list(api.fetch_job_logs(job_id=job.id, follow=True))


def state(api: HfApi, job) -> tuple[str, str | None]:
    status = api.inspect_job(job_id=job.id).status
    return status.stage, status.message


def run(api: HfApi, code: str, *words: str, **kwargs):
    return api.run_job(image="python:3.12", command=[sys.executable, "-c", code, *words], **kwargs)


def until(condition, seconds: float = 20):
    """Wait for an effect of another process; fail if there is none in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "did not happen in time"
        time.sleep(0.02)


def test_a_job_runs_with_its_environment(api):
    code = "import os, sys; print('hello', os.environ['X'], sys.argv[1:])"
    job = run(api, code, "--lr", "1", env={"X": "1"})
    assert follow(api, job) == ["hello 1 ['--lr', '1']"]
    assert state(api, job) == ("COMPLETED", None)
    assert job.id in {j.id for j in api.list_jobs()}
    assert list(api.fetch_job_logs(job_id=job.id, tail=1)) == ["hello 1 ['--lr', '1']"]


def test_a_failed_job_says_why(api):
    job = run(api, "print('before'); raise SystemExit(3)")
    assert follow(api, job) == ["before"]
    assert state(api, job) == ("ERROR", "Job failed with exit code: 3")
    missing = api.run_job(image="x", command=["no-such-program"])
    assert "no-such-program is not installed" in follow(api, missing)[0]
    assert state(api, missing)[0] == "ERROR"


def test_secrets_are_masked_and_the_servers_own_are_absent(hub, api, wire):
    code = (
        "import os; print(os.environ['HF_TOKEN']); print(sorted(os.environ), os.environ['HF_HOME'])"
    )
    job = run(api, code, secrets={"HF_TOKEN": "hf_a-secret-value"})
    token, environment = follow(api, job)
    assert token == "***"
    assert "HF_ENDPOINT" in environment
    assert str(hub.root) in environment
    assert "PYTEST_CURRENT_TEST" not in environment
    for path in ("/api/jobs/me", f"/api/jobs/me/{job.id}", f"/jobs/me/{job.id}"):
        assert "hf_a-secret-value" not in wire.get(path).text
    files = [f for f in hub.root.rglob("*") if f.is_file()]
    assert not [f for f in files if b"hf_a-secret-value" in f.read_bytes()]


def test_the_servers_own_tokens_are_not_passed_on(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "hf_of-the-server")
    monkeypatch.setenv("UV_PUBLISH_TOKEN", "of-the-server")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "of-the-server")
    with LocalHub(tmp_path / "hub") as hub:
        api = HfApi(endpoint=hub.endpoint, token=hub.token)
        (shown,) = follow(api, run(api, "import os; print(dict(os.environ))"))
    assert "of-the-server" not in shown


def test_cancel_ends_everything_that_the_job_started(api, tmp_path):
    begun = tmp_path / "begun"
    code = (
        "import os, subprocess, sys, time\n"
        "subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])\n"
        "open(sys.argv[1], 'w').close()\n"
        "print('started'); time.sleep(600)"
    )
    job = run(api, code, str(begun))
    until(begun.exists)
    assert len(marked("JOB_ID", job.id)) >= 2
    api.cancel_job(job_id=job.id)
    assert state(api, job)[0] == "CANCELED"
    until(lambda: not marked("JOB_ID", job.id))
    assert state(api, job)[0] == "CANCELED"


def test_a_job_that_takes_too_long_ends(api):
    job = run(api, "import time; time.sleep(600)", timeout=1)
    assert follow(api, job) == []
    assert state(api, job) == ("ERROR", "Job timed out after 1 seconds")


def test_jobs_are_their_owners(api, stranger):
    job = run(api, "pass")
    with pytest.raises(HfHubHTTPError) as e:
        stranger.inspect_job(job_id=job.id, namespace="me")
    assert e.value.response.status_code == 403
    with pytest.raises(HfHubHTTPError) as e:
        stranger.inspect_job(job_id=job.id)
    assert e.value.response.status_code == 404
    follow(api, job)


@pytest.mark.filterwarnings("ignore:'HfApi.run_uv_job' is experimental")
def test_a_script_from_a_private_repo(hub, api, repo_id):
    script = (
        b"# /// script\n# dependencies = []\n# ///\n"
        b"import os, sys; print('trained', sys.argv[1:], os.environ['HF_ENDPOINT'])\n"
    )
    api.create_repo(repo_id, repo_type="dataset", private=True)
    api.upload_file(
        path_or_fileobj=script, path_in_repo="jobs/train.py", repo_id=repo_id, repo_type="dataset"
    )
    url = f"{hub.endpoint}/datasets/{repo_id}/resolve/main/jobs/train.py"
    job = api.run_uv_job(url, script_args=["--from", url], secrets={"HF_TOKEN": hub.token})
    assert job.command[:2] == ["uv", "run"]
    lines = follow(api, job)
    assert f"trained ['--from', '{url}'] {hub.endpoint}" in lines, (lines, state(api, job))
    assert state(api, job) == ("COMPLETED", None)
    with pytest.raises(HfHubHTTPError, match="no script"):
        api.run_uv_job(url.replace("train.py", "other.py"))


@pytest.mark.filterwarnings("ignore:'HfApi.run_uv_job' is experimental")
def test_jobs_with_the_same_script_share_an_environment(hub, api, repo_id):
    script = (
        b"# /// script\n# dependencies = []\n# ///\n"
        b"import sys; print(sys.prefix); open(__file__, 'a').write('print(2)')\n"
    )
    api.create_repo(repo_id, repo_type="dataset", private=True)
    prefixes = set()
    for name in ("one", "two"):
        info = api.upload_file(
            path_or_fileobj=script,
            path_in_repo=f"{name}/shared.py",
            repo_id=repo_id,
            repo_type="dataset",
        )
        url = f"{hub.endpoint}/datasets/{repo_id}/resolve/{info.oid}/{name}/shared.py"
        job = api.run_uv_job(url, secrets={"HF_TOKEN": hub.token})
        lines = follow(api, job)
        assert state(api, job) == ("COMPLETED", None)
        assert "2" not in lines, "a job runs what its repo holds, whatever another job left"
        prefixes.add(lines[-1])
    assert len(prefixes) == 1


def test_a_stopped_or_killed_hub_ends_its_jobs(tmp_path):
    for how in ("stop", "kill"):
        hub = LocalHub(tmp_path / "hub").start()
        api = HfApi(endpoint=hub.endpoint, token=hub.token)
        file = tmp_path / how
        code = "import sys, time; open(sys.argv[1], 'w').close(); time.sleep(600)"
        job = run(api, code, str(file))
        until(file.exists)
        if how == "kill":
            hub.process.kill()
            hub.process.wait()
        hub.stop()
        with LocalHub(tmp_path / "hub", port=hub.port) as again:
            api = HfApi(endpoint=again.endpoint, token=again.token)
            assert state(api, job) == ("ERROR", "The Hub was stopped while this job ran")
        until(lambda job=job: not marked("JOB_ID", job.id))
        assert all(stage in ENDED for stage in (j.status.stage for j in api_jobs(tmp_path)))


def api_jobs(root: Path):
    with LocalHub(root / "hub") as hub:
        return list(HfApi(endpoint=hub.endpoint, token=hub.token).list_jobs())


def test_the_machines_and_their_prices_are_listed(api):
    machines = {h.name: h for h in api.list_jobs_hardware()}
    assert set(machines) == {flavor.value for flavor in JobHardware}
    small = machines["a10g-small"]
    assert (small.accelerator.model, small.accelerator.vram) == ("A10G", "24 GB")
    assert small.unit_label == "minute"
    assert small.unit_cost_usd * 60 == pytest.approx(1.0, abs=1e-3)
    assert machines["cpu-basic"].accelerator is None
    with pytest.raises(HfHubHTTPError, match="no flavor 'a100-huge'; expected cpu-basic") as e:
        run(api, "pass", flavor="a100-huge")
    assert e.value.response.status_code == 400


def test_jobs_are_listed_by_label_and_stage(api):
    one = run(api, "pass", labels={"palate-project": "a", "x": "1"})
    other = run(api, "raise SystemExit(1)", labels={"palate-project": "b"})
    for job in (one, other):
        follow(api, job)
    assert [j.id for j in api.list_jobs(labels={"palate-project": "a"})] == [one.id]
    assert [j.id for j in api.list_jobs(labels={"palate-project": "a", "x": "2"})] == []
    failed = {j.id for j in api.list_jobs(status="ERROR")}
    assert other.id in failed
    assert one.id not in failed
    durations = api.inspect_job(job_id=one.id).durations
    assert durations.total_secs >= durations.running_secs >= 0


def test_a_failed_job_gets_its_attempts_each_on_an_empty_disk(api, tmp_path):
    code = (
        "import os, pathlib, sys; print(os.listdir()); pathlib.Path('left').touch();"
        "tries = pathlib.Path(sys.argv[1]); n = len(tries.read_text()) if tries.exists() else 0;"
        "tries.write_text('x' * (n + 1)); sys.exit(n < 2)"
    )
    job = run(api, code, str(tmp_path / "tries"), attempts=3)
    assert follow(api, job) == ["[]"] * 3
    assert state(api, job) == ("COMPLETED", None)
    assert api.inspect_job(job_id=job.id).retry == 2
    job = run(api, "import os; os.kill(os.getpid(), 9)", attempts=2)
    follow(api, job)
    assert state(api, job) == ("ERROR", "Job failed with exit code: -9")
    with pytest.raises(HfHubHTTPError, match="attempts"):
        run(api, "pass", attempts=11)


def test_an_overwritten_line_stays_one_line(api):
    job = run(api, r"print('10%\r20%\r30%')")
    assert follow(api, job) == ["10%\r20%\r30%"]


def test_a_user_without_credit_is_asked_to_pay(without_credit, api):
    with pytest.raises(HfHubHTTPError, match="credit balance is insufficient") as e:
        run(api, "pass")
    assert e.value.response.status_code == 402


SPY = """
import os, pathlib, subprocess, sys
root = pathlib.Path(sys.argv[1])
mine = pathlib.Path.cwd()
for name in ("users.json", "key", "openid.json", "hub.db", "apps.json", "hub.log"):
    print(name, (root / name).exists(), (mine / "../../.." / name).exists())
print("other", sorted(p.name for p in root.rglob("*-secret")))
print("root", sorted(p.name for p in root.iterdir()))
for words in (["umount", "-l", str(root)], ["mount", "--bind", "/", "/mnt"],
              ["mount", "--bind", str(root.parent), "/mnt"], ["mount", "-t", "proc", "x", "/mnt"]):
    print(words[0], subprocess.run(words, capture_output=True).returncode != 0)
pids = [int(p) for p in os.listdir("/proc") if p.isdigit()]
print("alone", len(pids) < 6)
cache = pathlib.Path(os.environ["HF_HOME"])
(cache / "me-secret").write_text("kept for my next job")
(mine / "made").write_text("x")
uv = pathlib.Path(os.environ["UV_CACHE_DIR"])
uv.mkdir(parents=True, exist_ok=True)
print("works", os.access(uv, os.W_OK))
"""


@needs_namespaces
def test_a_job_sees_nothing_of_the_hub_and_of_others_but_can_work(hub, api, stranger):
    kept = run(stranger, "import os, pathlib; pathlib.Path(os.environ['HF_HOME'], 'you-secret')"
               ".write_text('x')", namespace="you")  # fmt: skip
    assert list(stranger.fetch_job_logs(job_id=kept.id, follow=True, namespace="you")) == []
    lines = follow(api, run(api, SPY, str(hub.root)))
    assert lines[:6] == [f"{name} False False" for name in (
        "users.json", "key", "openid.json", "hub.db", "apps.json", "hub.log"
    )]  # fmt: skip
    assert lines[6:] == [
        "other []", "root ['cache', 'jobs']", "umount True", *["mount True"] * 3, "alone True",
        "works True",
    ]  # fmt: skip
    # what one job has downloaded is there for the next
    again = run(api, "import os; print(os.listdir(os.environ['HF_HOME']))")
    assert "me-secret" in follow(api, again)[0]


def test_without_namespaces_a_hub_on_the_network_runs_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(isolation, "supported", lambda: False)
    here, network = (Apart(tmp_path, network=n) for n in (False, True))
    assert here.refusal is None
    assert "open to the network" in network.refusal
    with pytest.raises(ServeError, match="run on a Hub at"):
        network.spawn(["true"], tmp_path, {})
    with here.spawn(["true"], tmp_path, {}) as process:
        assert process.wait() == 0
