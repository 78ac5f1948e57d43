"""Webhooks that start jobs, through the unmodified client; a commit delivers them."""

import json
import sys
from types import SimpleNamespace

import pytest
from huggingface_hub import HfApi
from huggingface_hub.errors import HfHubHTTPError

from palate.localhub import webhooks
from palate.localhub.accounts import User

CODE = "import os; print(os.environ['WEBHOOK_REPO_ID'], os.environ['WEBHOOK_PAYLOAD'],"
CODE += " os.environ['HF_TOKEN'])"


@pytest.fixture
def source(api):
    words = [sys.executable, "-c", "print('source')"]
    job = api.run_job(image="python:3.12", command=words, labels={"from": "a-webhook"})
    list(api.fetch_job_logs(job_id=job.id, follow=True))
    return job


@pytest.fixture
def repo(api, repo_id):
    api.create_repo(repo_id, repo_type="dataset", private=True)
    return repo_id


@pytest.fixture
def hook(api, repo):
    """A webhook whose job prints what it was told."""
    words = [sys.executable, "-c", CODE]
    env = {"WEBHOOK_REPO_ID": "-", "WEBHOOK_PAYLOAD": "-", "HF_TOKEN": "-"}
    job = api.run_job(image="python:3.12", command=words, env=env, labels={"hook": repo[-11:]})
    list(api.fetch_job_logs(job_id=job.id, follow=True))
    watched = [{"type": "dataset", "name": repo}]
    made = api.create_webhook(
        job_id=job.id, watched=watched, domains=["repo"], secrets={"HF_TOKEN": "hf_hidden"}
    )
    yield made
    if made.id in {w.id for w in api.list_webhooks()}:
        api.delete_webhook(made.id)


def jobs(api: HfApi, repo: str) -> list:
    return list(api.list_jobs(labels={"hook": repo[-11:]}))


def commit(api: HfApi, repo: str, name: str = "a.txt") -> str:
    return api.upload_file(
        path_or_fileobj=b"x" + name.encode(), path_in_repo=name, repo_id=repo, repo_type="dataset"
    ).oid


def test_a_commit_starts_the_job_with_what_happened_and_the_secrets(api, repo, hook):
    before = {j.id for j in jobs(api, repo)}
    sha = commit(api, repo)
    (job,) = [j for j in jobs(api, repo) if j.id not in before]
    (line,) = api.fetch_job_logs(job_id=job.id, follow=True)
    name, rest = line.split(" ", 1)
    payload = json.loads(rest.rsplit(" ", 1)[0])
    assert name == repo
    assert rest.endswith(" ***")  # the token, masked
    assert payload["event"] == {"action": "update", "scope": "repo.content"}
    assert payload["repo"]["headSha"] == sha
    assert payload["updatedRefs"][0]["newSha"] == sha
    assert payload["webhook"]["id"] == hook.id


def test_the_client_reads_changes_and_deletes_a_webhook(api, repo, hook, source):
    assert hook.job.command[0] == sys.executable
    assert hook.job.secrets == {"HF_TOKEN": None}  # never its value
    assert api.get_webhook(hook.id).watched[0].name == repo
    assert hook.id in {w.id for w in api.list_webhooks()}
    before = len(jobs(api, repo))
    assert api.disable_webhook(hook.id).disabled
    commit(api, repo, "b.txt")
    assert len(jobs(api, repo)) == before
    assert not api.enable_webhook(hook.id).disabled
    changed = api.update_webhook(
        hook.id, job_id=source.id, watched=[{"type": "user", "name": "me"}]
    )
    assert changed.job.labels["from"] == "a-webhook"
    assert changed.domains == ["repo"]
    api.delete_webhook(hook.id)
    with pytest.raises(HfHubHTTPError, match="Webhook not found"):
        api.get_webhook(hook.id)
    commit(api, repo, "c.txt")
    assert len(jobs(api, repo)) == before


def test_another_repo_starts_nothing(api, repo, hook):
    before = len(jobs(api, repo))
    other = f"{repo}-other"
    api.create_repo(other, repo_type="dataset")
    commit(api, other)
    assert len(jobs(api, repo)) == before


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"url": "http://127.0.0.1:9/"}, "calls no address"),
        ({"job_id": "nothing"}, "Job nothing not found"),
    ],
)
def test_what_cannot_be_delivered_is_refused(api, repo, given, says):
    with pytest.raises(HfHubHTTPError, match=says):
        api.create_webhook(watched=[{"type": "dataset", "name": repo}], **given)


def test_a_webhook_is_its_owners_alone(hub, api, repo, hook):
    token = next(token for user, token in hub.tokens.items() if user != "me")
    other = HfApi(endpoint=hub.endpoint, token=token)
    assert hook.id not in {w.id for w in other.list_webhooks()}
    with pytest.raises(HfHubHTTPError, match="Webhook not found"):
        other.delete_webhook(hook.id)
    with pytest.raises(HfHubHTTPError, match="not found"):
        other.create_webhook(
            job_id=jobs(api, repo)[0].id, watched=[{"type": "dataset", "name": repo}]
        )


def test_a_malformed_webhook_is_a_400(wire, source):
    for body in ({}, {"watched": []}, {"watched": [{"type": "x", "name": "y"}]},
                 {"watched": [{"type": "dataset", "name": "a/b"}], "jobSourceId": source.id,
                  "domains": ["everything"]}):  # fmt: skip
        assert wire.send("POST", "/api/settings/webhooks", body).status == 400


def test_the_address_of_a_request_gets_no_token(hub, api, wire, repo):
    """Whoever may commit to a watched repo names no address to which another's job turns."""
    words = [sys.executable, "-c", "import os; print(os.environ['HF_ENDPOINT'])"]
    labels = {"hook": f"own-{repo[-11:]}"}
    source = api.run_job(image="python:3.12", command=words, labels=labels)
    list(api.fetch_job_logs(job_id=source.id, follow=True))
    watched = [{"type": "dataset", "name": repo}]
    made = api.create_webhook(job_id=source.id, watched=watched, domains=["repo"])
    lines = [
        {"key": "header", "value": {"summary": "x"}},
        {"key": "file", "value": {"path": "x.txt", "content": "x"}},
    ]
    body = "\n".join(map(json.dumps, lines)).encode()
    sent = wire.send("POST", f"/api/datasets/{repo}/commit/main", body, Host="127.0.0.1:1")
    api.delete_webhook(made.id)
    assert sent.status == 200
    (job,) = [j for j in api.list_jobs(labels=labels) if j.id != source.id]
    assert list(api.fetch_job_logs(job_id=job.id, follow=True)) == [hub.endpoint]


def test_a_webhook_whose_jobs_may_not_start_breaks_no_commit():
    """A full disk and a member who has left are the webhook's alone."""
    doc = {
        "id": "w", "disabled": False, "domains": ["repo"], "secret": None, "secrets": {},
        "watched": [{"type": "dataset", "name": "me/x"}], "ns": "me", "timeout": 9, "words": ["x"],
        "job": {"environment": {}, "command": ["x"], "arguments": []},
    }  # fmt: skip
    started = []

    class Jobs:
        def create(self, user, ns, spec):
            started.append(ns)
            raise OSError(28, "No space left on device")

    def change(**fields) -> list[str]:
        row = {"user": "me", "doc": json.dumps(doc | fields)}
        watching = SimpleNamespace(
            db=SimpleNamespace(all=lambda query: [row]), jobs=Jobs(), address="http://127.0.0.1:9",
            accounts=SimpleNamespace(users=lambda: {"me": User("me", "hf_token")}),
        )  # fmt: skip
        watched = SimpleNamespace(
            kind="dataset", full_name="me/x", ns="me", private=True, id=1, path="/datasets/me/x"
        )
        started.clear()
        webhooks.deliver(watching, watched, "refs/heads/main", "a", "b")  # ty: ignore
        return started

    assert change() == ["me"]
    assert change(ns="left-org") == []
