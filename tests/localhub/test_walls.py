"""Every route of the Hub, called about a private repo by those who may not see or change it.

A new route is called as well, with values from the tables here.
"""

import json
from dataclasses import dataclass

import pytest
from hub_requests import change, commit_body, lfs_batch, oid_of
from huggingface_hub import CommitOperationAdd, HfApi
from huggingface_hub.errors import HfHubHTTPError

from palate.localhub import LocalHub
from palate.localhub.accounts import Signer
from palate.localhub.app import router
from palate.localhub.routing import Route

MARK = "do-not-tell"  # part of everything that is private
CARD = f"---\nlicense: mit\n---\n# {MARK}".encode()
READER = "hf_only_for_reading"
WEIGHTS = f"\0{MARK}".encode()
OID = oid_of(WEIGHTS)
KINDS = {"models": "model", "datasets": "dataset", "spaces": "space"}
BODIES: dict[str, object] = {
    "batch": lfs_batch("download", OID, len(WEIGHTS)),
    "create": {"name": "secret", "organization": "me"},
    "delete": {"name": "secret", "organization": "me"},
    "move": {"fromRepo": "me/secret", "toRepo": "you/mine"},
    "{rev}": {"paths": ["a.txt"], "files": [{"path": "a.txt", "size": 1}], "tag": "v2"},
    "settings": {"private": False},
    "secrets": {"key": "A", "value": "b"},
    "variables": {"key": "A", "value": "b"},
    "hardware": {"flavor": "cpu-basic"},
    "sleeptime": {"seconds": 3},
    "validate-yaml": {"content": "x"},
    "{ns}": {"command": ["true"]},
}


@dataclass
class Closed:
    """A Hub in which everything of `me` is private."""

    hub: LocalHub
    api: HfApi
    job: str

    def state(self) -> list:
        """Return what a stranger might have changed."""
        state: list = [
            repo.id for kind in KINDS for repo in getattr(self.api, f"list_{kind}")(author="me")
        ]
        for kind in KINDS.values():
            repo = {"repo_id": "me/secret", "repo_type": kind}
            refs = self.api.list_repo_refs(**repo, include_pull_requests=True)
            state += [refs, self.api.repo_info(**repo).private]
        return [
            *state,
            self.api.get_space_variables("me/secret"),
            len([*self.api.list_jobs(namespace="me")]),
        ]


@pytest.fixture(scope="module")
def closed(tmp_path_factory):
    root = tmp_path_factory.mktemp("walls")
    users = {
        "me": {"token": "hf_of_the_owner", "read_token": READER, "plan": "pro"},
        "you": {"token": "hf_of_a_stranger"},
    }
    (root / "users.json").write_text(json.dumps(users))
    with LocalHub(root) as hub:
        api = HfApi(endpoint=hub.endpoint, token=hub.token)
        for kind in KINDS.values():
            repo = {"repo_id": "me/secret", "repo_type": kind}
            sdk = {"space_sdk": "gradio"} if kind == "space" else {}
            api.create_repo(**repo, private=True, **sdk)
            files = {"a.txt": MARK.encode(), "w.bin": WEIGHTS, "README.md": CARD}
            files[f"d/{MARK}"] = b"x"
            add = [CommitOperationAdd(*file) for file in files.items()]
            api.create_commit(**repo, operations=add, commit_message=MARK)
            api.create_tag(**repo, tag="v1", tag_message=MARK)
            api.create_branch(**repo, branch="b")
        api.add_space_variable("me/secret", "A", MARK)
        job = api.run_job(image="x", command=["echo", MARK])
        list(api.fetch_job_logs(job_id=job.id, follow=True))
        yield Closed(hub, api, job.id)


def requests(closed: Closed):
    """Yield each route with its paths for each kind of repo."""
    known = {
        "ns": "me", "name": "secret", "git": "secret.git", "rev": "main", "path": "a.txt",
        "branch": "b", "tag": "v1", "which": "run", "oid": OID, "number": "1", "job": closed.job,
        "file": "hub.css", "key": "0",
    }  # fmt: skip
    for route in router.routes:
        for kind in KINDS if "{kind}" in route.pattern else ["spaces"]:
            for values in (
                known,
                known | {"rev": "refs%2Fheads%2Fb"},
                known | {"name": "secret.git"},
            ):
                parts = [part.strip("{.}") for part in route.pattern]
                values = values | {"kind": kind}
                filled = [
                    values.get(name, "x") if part.startswith("{") else part
                    for name, part in zip(parts, route.pattern, strict=True)
                ]
                yield route, "/" + "/".join(filled) + "?full=1&include_prs=1"


def body(route: Route) -> bytes | None:
    if route.method in ("GET", "HEAD"):
        return None
    if route.pattern[-2:-1] == ["commit"]:
        return commit_body(change("file", path="a.txt", content="x"))
    return json.dumps(BODIES.get(route.pattern[-1], {})).encode()


@pytest.mark.parametrize("who", ["nobody", "stranger", "stranger's browser"])
def test_no_route_tells_or_changes_what_is_private(closed, connect, who):
    hub = closed.hub
    wire = connect(hub.endpoint, hub.tokens["you"] if who == "stranger" else None)
    before, more = closed.state(), {"Content_Type": "application/json"}
    if who == "stranger's browser":
        signer = Signer(hub.root / "key")
        claims = {"user": "you", "token": signer.fingerprint(hub.tokens["you"])}
        more["Cookie"] = f"palate_hub_{hub.port}={signer.sign('session', 60, **claims)}"
    refusals = 0
    for route, path in requests(closed):
        for accept in ("*/*", "text/html") if route.method == "GET" else ("*/*",):
            answer = wire.send(route.method, path, body(route), Accept=accept, **more)
            received = answer.body + repr(answer.headers).encode()
            assert MARK.encode() not in received, (route.method, path)
            assert OID.encode() not in received, (route.method, path)
            assert answer.status < 500, (route.method, path)
            if "{ns}" in route.pattern or "_lfs" in route.pattern:
                refused = (401, 403, 404) + (() if accept == "*/*" else (303,))  # to /login
                assert answer.status in refused, (route.method, path, answer.status)
                refusals += 1
    assert refusals > 100
    assert closed.state() == before


def test_a_read_token_reads_and_does_no_more(closed, connect):
    wire, before = connect(closed.hub.endpoint, READER), closed.state()
    assert wire.get("/api/whoami-v2").json["auth"]["accessToken"]["role"] == "read"
    assert wire.get("/me/secret/resolve/main/w.bin").body == WEIGHTS
    for route, path in requests(closed):
        if route.pattern[0] == "oauth":  # where apps have their own tokens
            continue
        answer = wire.send(route.method, path, body(route), Content_Type="application/json")
        if not route.reads:
            assert answer.status == 403, (route.method, path)
            assert "read token" in answer.text or route.pattern[0] == "_lfs"
        elif "secret.git" not in path and "refs" not in path:
            own = connect(closed.hub.endpoint, closed.hub.token)
            same = own.send(route.method, path, body(route), Content_Type="application/json")
            for_writers = route.pattern[:2] == ["api", "spaces"]
            alike = answer.status == same.status or answer.status < 400
            assert alike or (for_writers and answer.status == 403), (route.method, path)
    upload = lfs_batch("upload", OID, len(WEIGHTS))
    assert wire.send("POST", "/me/secret.git/info/lfs/objects/batch", upload).status == 403
    reader = HfApi(endpoint=closed.hub.endpoint, token=READER)
    with pytest.raises(HfHubHTTPError, match="read token"):
        reader.upload_file(path_or_fileobj=b"x", path_in_repo="x", repo_id="me/secret")
    assert closed.state() == before


def test_a_pointer_gives_no_access_to_its_content(closed, connect):
    """Anybody who knows a hash could write a pointer into a repo by hand."""
    stranger = connect(closed.hub.endpoint, closed.hub.tokens["you"])
    stranger.send("POST", "/api/repos/create", {"name": "pointers"})
    text = f"version https://git-lfs.github.com/spec/v1\noid sha256:{OID}\nsize {len(WEIGHTS)}\n"
    pushed = commit_body(change("file", path="w.bin", content=text))
    assert stranger.send("POST", "/api/models/you/pointers/commit/main", pushed).status == 400
    assert stranger.get("/you/pointers/resolve/main/w.bin").status == 404
    mine = connect(closed.hub.endpoint, closed.hub.token)
    mine.send("POST", "/api/repos/create", {"name": "pointers", "private": True})
    assert mine.send("POST", "/api/models/me/pointers/commit/main", pushed).status == 200
    assert mine.get("/me/pointers/resolve/main/w.bin").body == WEIGHTS


def test_a_commit_page_does_not_show_gated_files(closed, connect):
    repo, api, hub = "me/gated", closed.api, closed.hub
    api.create_repo(repo)
    add = [CommitOperationAdd("a.txt", MARK.encode())]
    commit = api.create_commit(repo, add, commit_message="add")
    api.update_repo_settings(repo, gated="auto")
    path = f"/{repo}/commit/{commit.oid}"
    assert connect(hub.endpoint, hub.tokens["you"]).get(path).status == 403
    assert MARK in connect(hub.endpoint, hub.token).get(path).text
    api.delete_repo(repo)


def test_a_cookie_does_not_open_the_api_however_the_path_is_written(closed, connect):
    signer = Signer(closed.hub.root / "key")
    claims = {"user": "me", "token": signer.fingerprint(closed.hub.token)}
    cookie = f"palate_hub_{closed.hub.port}={signer.sign('session', 60, **claims)}"
    wire = connect(closed.hub.endpoint)
    assert wire.get("/me/secret", Cookie=cookie).status == 200
    for path in ("/api/whoami-v2", "//api/whoami-v2", "/%61pi/whoami-v2", "/api/whoami-v2/"):
        assert wire.get(path, Cookie=cookie).status == 401, path
