"""The server as a process: its start, its end, a kill, a full disk."""

import json
import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from hub_requests import lfs_batch, oid_of
from huggingface_hub import CommitOperationAdd, HfApi
from huggingface_hub.errors import HfHubHTTPError
from huggingface_hub.utils import httpx

from palate.localhub import LocalHub, ServeError
from palate.localhub.accounts import read_users


def client(hub: LocalHub) -> HfApi:
    return HfApi(endpoint=hub.endpoint, token=hub.token)


def test_users_are_created_once_and_can_be_added(tmp_path):
    with LocalHub(tmp_path / "hub") as hub:
        assert list(hub.tokens) == ["me", "you"]
        assert hub.token == hub.tokens["me"]
        file = tmp_path / "hub" / "users.json"
        assert file.stat().st_mode & 0o777 == 0o600
        users = json.loads(file.read_text()) | {"ann": {"token": "hf_of_ann", "orgs": ["lab"]}}
        file.write_text(json.dumps(users))
        ann = HfApi(endpoint=hub.endpoint, token="hf_of_ann")
        assert ann.whoami()["name"] == "ann"
        ann.create_repo("lab/x")
        file.write_text("{")  # a typing error locks nobody out
        assert ann.whoami()["name"] == "ann"
        file.write_text(json.dumps(users | {"ann": {"token": "hf_new_token"}}))
        with pytest.raises(HfHubHTTPError):
            ann.whoami()
        token = hub.token
    with LocalHub(tmp_path / "hub") as hub:
        assert hub.token == token
        assert client(hub).repo_exists("lab/x")


@pytest.mark.parametrize(
    "content",
    [
        "{",
        "[]",
        "{}",
        '{"me": {}}',
        '{"me": 3}',
        '{"me": {"token": "short"}}',
        '{"api": {"token": "hf_12345678"}}',
        '{"a/b": {"token": "hf_12345678"}}',
        '{"me": {"token": "hf_12345678", "orgs": "x"}}',
        '{"me": {"token": "hf_12345678"}, "you": {"token": "hf_12345678"}}',
        '{"me": {"token": "hf_12345678", "read_token": "short"}}',
        '{"me": {"token": "hf_12345678", "read_token": "hf_12345678"}}',
    ],
)
def test_a_wrong_users_file_is_named(tmp_path, content):
    file = tmp_path / "users.json"
    file.write_text(content)
    with pytest.raises(ServeError, match=r"users\.json"):
        read_users(file)


def test_start_says_why_it_cannot(tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(ServeError, match=f"port {port} is already in use"):
            LocalHub(tmp_path / "hub", port=port).start()
    for host in ("203.0.113.1", "no-such-host.invalid", "é" * 70):
        with pytest.raises(ServeError, match="cannot listen"):
            LocalHub(tmp_path / "hub", host=host).start()
    with pytest.raises(ServeError, match="port 70000 does not exist"):
        LocalHub(tmp_path / "hub", port=70000).start()
    in_use = pytest.raises(ServeError, match="in use by another local Hub")
    with LocalHub(tmp_path / "hub"), in_use:
        LocalHub(tmp_path / "hub").start()
    (tmp_path / "hub" / "users.json").write_text("{")
    with pytest.raises(ServeError, match=r"users\.json"):
        LocalHub(tmp_path / "hub").start()


def test_an_ipv6_address_works(tmp_path):
    with LocalHub(tmp_path / "hub", host="::1") as hub:
        assert hub.endpoint == f"http://[::1]:{hub.port}"
        assert client(hub).whoami()["name"] == "me"
        assert "warning" not in (hub.root / "hub.log").read_text()


def test_the_foreground_server_prints_how_to_use_it_and_stops_on_ctrl_c(tmp_path):
    command = [sys.executable, "-m", "palate.localhub", "--root", tmp_path / "a b", "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        lines = []
        while not lines or "Ctrl-C" not in lines[-1]:
            lines.append(server.stdout.readline())
        users = json.loads((tmp_path / "a b" / "users.json").read_text())
        tokens = [user["token"] for user in users.values()]
        assert not any(token in "".join(lines) for token in tokens)
        exports = "".join(line for line in lines if "export" in line)
        shell = ["bash", "-c", exports + "echo $HF_ENDPOINT $HF_TOKEN"]
        output = subprocess.run(shell, capture_output=True, text=True, check=True).stdout
        endpoint, token = output.split()
        assert token == tokens[0]
        assert HfApi(endpoint=endpoint, token=token).whoami()["name"] == "me"
        (link,) = [line.strip() for line in lines if "ticket=" in line]
        assert "Signed in as me" in httpx.get(link).text
        assert "Signed in" not in httpx.get(link).text  # it works once
        server.send_signal(signal.SIGINT)
        assert server.stdout.read() == ""
    assert server.returncode in (0, -signal.SIGINT)


def test_an_open_address_is_warned_about(tmp_path):
    with LocalHub(tmp_path / "hub", host="0.0.0.0") as hub:
        output = (hub.root / "hub.log").read_text()
        assert "the network can reach this Hub" in output
        assert "ticket=" not in output  # a log is no place for a link that signs in
        assert client(hub).whoami()["name"] == "me"


def test_the_server_ends_with_the_process_that_started_it(tmp_path):
    code = (
        "import sys; from pathlib import Path; from palate.localhub import LocalHub\n"
        "hub = LocalHub(Path(sys.argv[1])).start(); print(hub.process.pid, flush=True); input()"
    )
    command = [sys.executable, "-c", code, tmp_path / "hub"]
    with subprocess.Popen(command, stdin=-1, stdout=-1, text=True) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        descriptor = os.pidfd_open(pid)
        parent.kill()
    readable, _, _ = select.select([descriptor], [], [], 15)  # once the process has ended
    os.close(descriptor)
    assert readable, "the server outlived the process that started it"


def test_a_branch_that_a_kill_left_locked_moves_again(tmp_path):
    hub = LocalHub(tmp_path / "hub").start()
    client(hub).create_repo("me/c")
    hub.process.kill()
    hub.process.wait()
    hub.stop()
    (git,) = (hub.root / "git").iterdir()
    for name in ("refs/heads/main.lock", "packed-refs.lock", "HEAD.lock"):
        (git / name).touch()
    with LocalHub(tmp_path / "hub", port=hub.port) as again:
        add = CommitOperationAdd("a.txt", b"a")
        client(again).create_commit("me/c", [add], commit_message="After the kill")
        assert "a.txt" in client(again).list_repo_files("me/c")
    assert not list(git.rglob("*.lock"))


class Writers:
    """Threads that commit until the Hub is killed; `acknowledged` are the commits it accepted."""

    def __init__(self) -> None:
        self.acknowledged: list[str] = []
        self.under_way = threading.Semaphore(0)

    def start(self, run: int, api: HfApi) -> None:
        self.killed = threading.Event()
        self.threads = [
            threading.Thread(target=self._work, args=(f"{run}/{writer}", api))
            for writer in range(8)
        ]
        for thread in self.threads:
            thread.start()

    def join(self) -> None:
        for thread in self.threads:
            thread.join(60)

    def _work(self, name: str, api: HfApi) -> None:
        n = 0
        while not self.killed.is_set():
            commit = f"{name}/{n}"
            files = [CommitOperationAdd(f"{commit}/{k}.txt", commit.encode()) for k in range(2)]
            files.append(CommitOperationAdd(f"{commit}/w.bin", f"\0{commit}".encode()))
            try:
                api.create_commit("me/c", files, commit_message=commit)
            except (HfHubHTTPError, httpx.HTTPError, RuntimeError):
                return
            self.acknowledged.append(commit)
            n += 1
            if n == 2:
                self.under_way.release()


@pytest.mark.slow
def test_commits_survive_a_kill(tmp_path):
    """Eight writers, four kills: every acknowledged commit is complete and git finds no fault."""
    hub, writers = LocalHub(tmp_path / "hub").start(), Writers()
    client(hub).create_repo("me/c")
    for run in range(4):
        writers.start(run, client(hub))
        for _ in range(2 * run + 1):  # at a different moment in each run
            assert writers.under_way.acquire(timeout=60)
        writers.killed.set()
        hub.process.kill()
        hub.process.wait()
        hub.stop()
        hub = LocalHub(tmp_path / "hub", port=hub.port).start()
        writers.join()
    assert len(writers.acknowledged) > 16
    files = set(client(hub).list_repo_files("me/c"))
    commits = {f.rsplit("/", 1)[0] for f in files if "/" in f}
    assert set(writers.acknowledged) <= commits
    assert all({f"{c}/0.txt", f"{c}/1.txt", f"{c}/w.bin"} <= files for c in commits)
    copy = Path(client(hub).snapshot_download("me/c", local_dir=tmp_path / "copy"))
    assert all((copy / c / "w.bin").read_bytes() == f"\0{c}".encode() for c in commits)
    (git,) = (hub.root / "git").iterdir()
    fsck = subprocess.run(
        ["git", "--git-dir", git, "fsck", "--full", "--strict"], capture_output=True, text=True
    )
    assert fsck.returncode == 0, fsck.stderr
    hub.stop()


@pytest.fixture
def small_disk(tmp_path):
    """A folder on a file system of four megabytes."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=4m", "none", folder]
    if not shutil.which("mount") or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("mounting a small disk needs root")
    yield folder
    subprocess.run(["umount", folder], check=True)


def test_a_full_disk_is_reported_and_leaves_nothing_half_written(small_disk, connect):
    with LocalHub(small_disk / "hub") as hub:
        api = client(hub)
        api.create_repo("me/x")
        before = api.model_info("me/x").sha
        for name, content in (("w.bin", os.urandom(8_000_000)), ("a.txt", os.urandom(4_000_000))):
            text = content if name == "w.bin" else content.hex().encode()
            with pytest.raises((HfHubHTTPError, RuntimeError)) as e:
                api.upload_file(path_or_fileobj=text, path_in_repo=name, repo_id="me/x")
            refused = e.value.__cause__ if isinstance(e.value, RuntimeError) else e.value
            assert refused.response.status_code == 507
            assert "disk of this Hub is full" in str(refused)
        content = os.urandom(1_500_000)
        wire = connect(hub.endpoint, hub.token)
        body = lfs_batch("upload", oid_of(content), len(content))
        answer = wire.send("POST", "/me/x.git/info/lfs/objects/batch", body).json
        address = urlsplit(answer["objects"][0]["actions"]["upload"]["href"])
        room = shutil.disk_usage(small_disk).free
        (small_disk / "filler").write_bytes(b"x" * (room - 500_000))  # full only after the offer
        assert wire.send("PUT", f"{address.path}?{address.query}", content).status == 507
        (small_disk / "filler").unlink()
        assert api.model_info("me/x").sha == before
        assert list((hub.root / "incoming").iterdir()) == []
        api.upload_file(path_or_fileobj=b"small", path_in_repo="a.txt", repo_id="me/x")
        assert "Traceback" not in (hub.root / "hub.log").read_text()
