"""Round trips of the unmodified clients."""

import json
import os
import re
import select
import socket
import socketserver
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from huggingface_hub import (
    CommitOperationAdd,
    CommitOperationCopy,
    CommitOperationDelete,
    CommitScheduler,
    HfFileSystem,
    ModelCard,
    hf_hub_download,
    snapshot_download,
)
from huggingface_hub.errors import (
    EntryNotFoundError,
    HfHubHTTPError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)


def status_of(call, *args, **kwargs) -> int:
    """200, or the status with which the Hub refused."""
    try:
        call(*args, **kwargs)
    except HfHubHTTPError as e:
        return e.response.status_code
    return 200


@pytest.fixture
def repo(api, repo_id) -> str:
    api.create_repo(repo_id)
    return repo_id


def upload(api, repo: str, path: str, content: bytes, **kwargs):
    return api.upload_file(path_or_fileobj=content, path_in_repo=path, repo_id=repo, **kwargs)


def test_whoami(api):
    me = api.whoami()
    assert me["name"] == "me"
    assert [org["name"] for org in me["orgs"]] == ["my-org"]


@pytest.mark.parametrize("kind", ["model", "dataset", "space"])
def test_create_move_and_delete(api, repo_id, kind):
    sdk = {"space_sdk": "gradio"} if kind == "space" else {}
    api.create_repo(repo_id, repo_type=kind, **sdk)
    api.create_repo(repo_id, repo_type=kind, exist_ok=True, **sdk)
    assert status_of(api.create_repo, repo_id, repo_type=kind, **sdk) == 409
    upload(api, repo_id, "a.txt", b"a", repo_type=kind)
    moved = repo_id.replace("me/", "my-org/") + "-moved"
    api.move_repo(repo_id, moved, repo_type=kind)
    assert api.repo_info(repo_id, repo_type=kind).id == moved
    old = hf_hub_download(repo_id, "a.txt", repo_type=kind, token=api.token)
    assert Path(old).read_bytes() == b"a"
    api.delete_repo(moved, repo_type=kind)
    assert not api.repo_exists(moved, repo_type=kind)
    assert not api.repo_exists(repo_id, repo_type=kind)


def test_commit_of_regular_and_large_files(api, repo):
    weights = os.urandom(12_000_000)
    files = [CommitOperationAdd("a.txt", b"hello"), CommitOperationAdd("w.dat", weights)]
    done = api.create_commit(repo, files, commit_message="two files")
    assert done.oid == api.model_info(repo).sha
    assert sorted(api.list_repo_files(repo)) == [".gitattributes", "a.txt", "w.dat"]
    text, large = api.get_paths_info(repo, ["a.txt", "w.dat"], expand=True)
    assert text.lfs is None
    assert text.last_commit.title == "two files"
    assert large.lfs.size == large.size == 12_000_000
    assert Path(hf_hub_download(repo, "w.dat", token=api.token)).read_bytes() == weights


def test_upload_in_parts(api, repo):
    content = os.urandom(70_000_000)
    upload(api, repo, "big.bin", content)
    assert Path(hf_hub_download(repo, "big.bin", token=api.token)).read_bytes() == content


def test_delete_and_copy(api, repo):
    api.create_commit(
        repo,
        [CommitOperationAdd(p, p.encode()) for p in ("a.txt", "d/b.txt", "d/c.txt", "w.bin")],
        commit_message="add",
    )
    changes = [
        CommitOperationCopy("w.bin", "copy/w.bin"),
        CommitOperationDelete("a.txt"),
        CommitOperationDelete("d/", is_folder=True),
    ]
    api.create_commit(repo, changes, commit_message="change")
    assert sorted(api.list_repo_files(repo)) == [".gitattributes", "copy/w.bin", "w.bin"]
    missing = [CommitOperationDelete("nothing")]
    assert status_of(api.create_commit, repo, missing, commit_message="x") == 404


def test_folders_and_snapshots(api, repo, tmp_path):
    for i in range(40):
        (tmp_path / f"f{i}.txt").write_text("x" * i)
    (tmp_path / "x.safetensors").write_bytes(os.urandom(1000))
    api.upload_folder(folder_path=tmp_path, repo_id=repo, path_in_repo="sub")
    copy = Path(snapshot_download(repo, token=api.token)) / "sub"
    names = {file.name for file in tmp_path.iterdir()}
    assert {file.name for file in copy.iterdir()} == names
    assert all((copy / name).read_bytes() == (tmp_path / name).read_bytes() for name in names)


def test_commits_race(api, repo):
    parent = api.model_info(repo).sha

    def commit(i: int, parent: str | None) -> int:
        files = [CommitOperationAdd(f"{'p' if parent else 'n'}{i}", b"%d" % i)]
        return status_of(
            api.create_commit, repo, files, commit_message="race", parent_commit=parent
        )

    with ThreadPoolExecutor(8) as pool:
        guarded = list(pool.map(lambda i: commit(i, parent), range(8)))
        free = list(pool.map(lambda i: commit(i, None), range(8)))
    assert sorted(guarded) == [200] + [412] * 7
    assert free == [200] * 8
    files = api.list_repo_files(repo)
    assert sum(f.startswith("n") for f in files) == 8  # none was lost
    with pytest.raises(HfHubHTTPError, match="Please refresh"):
        api.create_commit(
            repo, [CommitOperationAdd("x", b"")], commit_message="x", parent_commit=parent
        )


def test_branches_tags_and_history(api, repo):
    upload(api, repo, "a.txt", b"old")
    api.create_tag(repo, tag="v1", tag_message="the first")
    api.create_branch(repo, branch="a/branch")
    upload(api, repo, "a.txt", b"new")
    upload(api, repo, "b.txt", b"b", revision="a/branch")
    old = hf_hub_download(repo, "a.txt", revision="v1", token=api.token)
    assert Path(old).read_bytes() == b"old"
    assert api.file_exists(repo, "b.txt", revision="a/branch")
    assert not api.file_exists(repo, "b.txt")
    refs = api.list_repo_refs(repo)
    assert [t.name for t in refs.tags] == ["v1"]
    assert sorted(b.name for b in refs.branches) == ["a/branch", "main"]
    assert status_of(api.create_tag, repo, tag="v1") == 409
    assert status_of(api.create_branch, repo, branch="x..y") == 400
    assert status_of(api.delete_branch, repo, branch="main") == 403
    api.delete_tag(repo, tag="v1")
    api.delete_branch(repo, branch="a/branch")
    assert len(api.list_repo_refs(repo).branches) == 1
    assert len(api.list_repo_commits(repo)) == 3
    api.super_squash_history(repo)
    assert len(api.list_repo_commits(repo)) == 1


def test_pull_requests(api, stranger, repo):
    files = [CommitOperationAdd("pr.txt", b"pr"), CommitOperationAdd("w.bin", b"\0")]
    opened = stranger.create_commit(repo, files, commit_message="an offer", create_pr=True)
    assert not api.file_exists(repo, "pr.txt")
    assert api.file_exists(repo, "pr.txt", revision=opened.pr_revision)
    upload(api, repo, "more.txt", b"more", revision=opened.pr_revision)
    assert status_of(stranger.merge_pull_request, repo, opened.pr_num) == 403
    api.comment_discussion(repo, opened.pr_num, comment="thanks")
    api.merge_pull_request(repo, opened.pr_num)
    assert {"pr.txt", "w.bin", "more.txt"} <= set(api.list_repo_files(repo))
    details = api.get_discussion_details(repo, opened.pr_num)
    assert details.status == "merged"
    assert "pr.txt" in details.diff
    assert [d.num for d in api.get_repo_discussions(repo)] == [opened.pr_num]
    assert status_of(api.merge_pull_request, repo, opened.pr_num) == 400


def test_errors_are_the_clients_own(api, repo):
    for args, revision, error in (
        ((repo, "nope"), None, EntryNotFoundError),
        ((repo, ".gitattributes"), "nope", RevisionNotFoundError),
        (("me/nope", "a"), None, RepositoryNotFoundError),
    ):
        with pytest.raises(error):
            hf_hub_download(*args, revision=revision, token=api.token)


class CuttingProxy(socketserver.ThreadingTCPServer):
    """Passes bytes on to the Hub, and cuts the first connection that has sent `limit` of them.

    `requests` are the heads of the requests that it saw.
    """

    daemon_threads = True

    def __init__(self, target: tuple[str, int], limit: int):
        super().__init__(("127.0.0.1", 0), CuttingHandler)
        self.target, self.limit, self.cut, self.requests = target, limit, False, []
        self.endpoint = f"http://127.0.0.1:{self.server_address[1]}"


class CuttingHandler(socketserver.BaseRequestHandler):
    def handle(self):
        proxy = self.server
        with socket.create_connection(proxy.target) as hub:
            sent = 0
            while True:
                for source in select.select([self.request, hub], [], [])[0]:
                    data = source.recv(65536)
                    if not data:
                        return
                    if source is self.request:
                        proxy.requests.append(data.decode("latin-1"))
                        hub.sendall(data)
                        continue
                    self.request.sendall(data)
                    sent += len(data)
                    if sent > proxy.limit and not proxy.cut:
                        proxy.cut = True
                        return


def test_an_interrupted_download_resumes(hub, api, repo, tmp_path):
    name, content = "w.bin", os.urandom(24_000_000)  # the client writes 10 MB at a time
    upload(api, repo, name, content)
    with CuttingProxy(("127.0.0.1", hub.port), limit=12_000_000) as proxy:
        threading.Thread(target=proxy.serve_forever, daemon=True).start()
        file = hf_hub_download(
            repo, name, local_dir=tmp_path, token=api.token, endpoint=proxy.endpoint
        )
        proxy.shutdown()
    assert Path(file).read_bytes() == content
    ranges = re.findall(r"(?im)^range: bytes=(\d+)-", "".join(proxy.requests))
    assert len(ranges) == 1
    assert 0 < int(ranges[0]) < len(content)


def test_cards_are_checked_by_the_server(api, repo):
    card = ModelCard("---\nlicense: mit\ntags: [dpo]\nbase_model: me/base\n---\n# Hello")
    card.push_to_hub(repo, token=api.token)
    assert ModelCard.load(repo, token=api.token).data.license == "mit"
    info = api.model_info(repo)
    assert {"dpo", "license:mit", "base_model:me/base"} <= set(info.tags)
    assert repo in {m.id for m in api.list_models(filter="base_model:me/base")}
    with pytest.raises(ValueError, match="license"):
        ModelCard("---\nlicense: none-such\n---\n").push_to_hub(repo, token=api.token)
    with pytest.raises(ValueError, match="license"):
        upload(api, repo, "README.md", b"---\nlicense: none-such\n---\n")


def test_datasets(api, repo_id):
    from datasets import Dataset, DatasetDict, load_dataset

    rows = {"prompt": ["a", "b"], "chosen": ["x", "y"], "rejected": ["u", "v"]}
    splits = DatasetDict(train=Dataset.from_dict(rows), test=Dataset.from_dict(rows))
    splits.push_to_hub(repo_id, token=api.token)
    loaded = load_dataset(repo_id, token=api.token)
    assert loaded["train"].to_dict() == rows
    assert set(loaded) == {"train", "test"}
    splits["train"].push_to_hub(repo_id, config_name="v2", split="train", token=api.token)
    again = load_dataset(repo_id, "v2", split="train", token=api.token)
    assert again[1]["chosen"] == "y"
    stream = load_dataset(repo_id, split="train", streaming=True, token=api.token)
    assert next(iter(stream))["prompt"] == "a"


def test_commit_scheduler(api, repo_id, tmp_path):
    scheduler = CommitScheduler(
        repo_id=repo_id,
        repo_type="dataset",
        folder_path=tmp_path,
        every=10,
        path_in_repo="data",
        hf_api=api,
    )
    with scheduler.lock:
        (tmp_path / "v.jsonl").write_text(json.dumps({"a": 1}) + "\n")
    scheduler.trigger().result()
    scheduler.stop()
    assert "data/v.jsonl" in api.list_repo_files(repo_id, repo_type="dataset")


def test_file_system(hub, api, repo_id):
    api.create_repo(repo_id, repo_type="dataset")
    fs = HfFileSystem(endpoint=hub.endpoint, token=hub.token)
    fs.write_text(f"datasets/{repo_id}/n/n.txt", "hi")
    assert fs.read_text(f"hf://datasets/{repo_id}/n/n.txt") == "hi"
    assert fs.glob(f"datasets/{repo_id}/**/*.txt") == [f"datasets/{repo_id}/n/n.txt"]


@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing`:FutureWarning")  # peft's call
def test_transformers_and_peft(api, repo_id):
    from peft import LoraConfig, PeftModel, get_peft_model
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import (
        AutoModelForCausalLM,
        AutoTokenizer,
        PreTrainedTokenizerFast,
        Qwen2Config,
        Qwen2ForCausalLM,
    )

    config = Qwen2Config(
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        num_key_value_heads=2,
        vocab_size=8,
    )
    model = Qwen2ForCausalLM(config)
    words = Tokenizer(models.WordLevel({"[UNK]": 0, "a": 1, "b": 2}, unk_token="[UNK]"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=words, unk_token="[UNK]")
    tokenizer.push_to_hub(repo_id, token=api.token)
    model.push_to_hub(repo_id, token=api.token)
    assert AutoTokenizer.from_pretrained(repo_id, token=api.token)("a b")["input_ids"] == [1, 2]
    loaded = AutoModelForCausalLM.from_pretrained(repo_id, token=api.token)
    assert all((a == b).all() for a, b in zip(model.parameters(), loaded.parameters(), strict=True))
    assert "model.safetensors" in api.list_repo_files(repo_id)

    adapter = get_peft_model(model, LoraConfig(r=2, target_modules=["q_proj"]))
    adapter.push_to_hub(f"{repo_id}-lora", token=api.token)
    assert "adapter_model.safetensors" in api.list_repo_files(f"{repo_id}-lora")
    PeftModel.from_pretrained(loaded, f"{repo_id}-lora", token=api.token)


def test_spaces(api, stranger, repo_id):
    api.create_repo(repo_id, repo_type="space", space_sdk="gradio")
    api.add_space_secret(repo_id, "HF_TOKEN", "the-hidden-value", description="for pushing")
    api.add_space_variable(repo_id, "PROJECT", "me/titles")
    assert api.get_space_variables(repo_id)["PROJECT"].value == "me/titles"
    assert api.get_space_secrets(repo_id)["HF_TOKEN"].description == "for pushing"
    assert status_of(stranger.get_space_variables, repo_id) == 403
    assert api.request_space_hardware(repo_id, "t4-small").requested_hardware == "t4-small"
    api.restart_space(repo_id)
    assert api.wait_for_space(repo_id, timeout=30, poll_interval=0.1).stage == "NO_APP_FILE"
    assert api.pause_space(repo_id).stage == "PAUSED"
    api.delete_space_secret(repo_id, "HF_TOKEN")
    assert api.get_space_secrets(repo_id) == {}
    api.duplicate_repo(repo_id, to_id=f"{repo_id}2", repo_type="space")
    assert "README.md" in api.list_repo_files(f"{repo_id}2", repo_type="space")
    assert api.get_space_variables(f"{repo_id}2")["PROJECT"].value == "me/titles"


def test_a_duplicate_keeps_its_large_files(api, repo):
    upload(api, repo, "w.bin", b"\0weights")
    api.duplicate_repo(repo, to_id=f"{repo}-copy")
    api.delete_repo(repo)
    copy = hf_hub_download(f"{repo}-copy", "w.bin", token=api.token)
    assert Path(copy).read_bytes() == b"\0weights"


@pytest.mark.slow
def test_command_line(hub, api, repo_id, tmp_path):
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path),
        "HF_ENDPOINT": hub.endpoint,
        "HF_TOKEN": hub.token,
        "HF_HUB_DISABLE_XET": "1",
        "HF_HUB_DISABLE_UPDATE_CHECK": "1",
    }

    def hf(*words: str) -> str:
        command = [Path(sys.executable).with_name("hf"), *words]
        done = subprocess.run(
            command, env=environment, cwd=tmp_path, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "a.txt").write_text("a")
    (tmp_path / "folder" / "w.bin").write_bytes(b"\0" * 1000)
    assert "me" in hf("auth", "whoami")
    hf("repos", "create", repo_id, "--repo-type", "dataset")
    hf("upload", repo_id, "folder", ".", "--repo-type", "dataset")
    hf("repos", "tag", "create", repo_id, "v1", "--repo-type", "dataset")
    assert repo_id in hf("repos", "ls")
    hf("download", repo_id, "--repo-type", "dataset", "--revision", "v1", "--local-dir", "copy")
    assert (tmp_path / "copy" / "w.bin").read_bytes() == b"\0" * 1000
    hf("repos", "delete", repo_id, "--repo-type", "dataset", "--yes")
    assert not api.repo_exists(repo_id, repo_type="dataset")


def test_git_clone(hub, api, repo, tmp_path):
    upload(api, repo, "a.txt", b"hello")
    api.update_repo_settings(repo, private=True)
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path),
        "GIT_LFS_SKIP_SMUDGE": "1",
        "GIT_TERMINAL_PROMPT": "0",
    }

    def clone(address: str, to: str) -> int:
        command = ["git", "clone", "-q", address, to]
        return subprocess.run(
            command, env=environment, cwd=tmp_path, capture_output=True
        ).returncode

    signed = hub.endpoint.replace("http://", f"http://me:{hub.token}@")
    assert clone(f"{signed}/{repo}", "mine") == 0
    assert (tmp_path / "mine" / "a.txt").read_text() == "hello"
    assert clone(f"{hub.endpoint}/{repo}", "theirs") != 0
