"""A Hub that was killed, or whose disk has changed, starts and serves what it has."""

import shutil
import sqlite3
import subprocess
from contextlib import closing
from pathlib import Path

import pytest
from huggingface_hub import HfApi
from huggingface_hub.errors import RepositoryNotFoundError

from palate.localhub import LocalHub
from palate.localhub.accounts import Signer, create_private, read_users


def client(hub: LocalHub) -> HfApi:
    return HfApi(endpoint=hub.endpoint, token=hub.token)


@pytest.fixture
def killed(tmp_path) -> LocalHub:
    """A Hub with the models a and b, one large file each, killed."""
    hub = LocalHub(tmp_path / "hub").start()
    for name in "ab":
        client(hub).create_repo(f"me/{name}")
        client(hub).upload_file(
            path_or_fileobj=f"\0{name}".encode(), path_in_repo="w.bin", repo_id=f"me/{name}"
        )
    hub.process.kill()
    hub.process.wait()
    hub.stop()
    return hub


def folder(hub: LocalHub, name: str) -> Path:
    with closing(sqlite3.connect(hub.root / "hub.db")) as db:
        (name,) = db.execute("SELECT folder FROM repo WHERE name=?", [name]).fetchone()
    return hub.root / "git" / name


def git(repo: Path, *words: str) -> str:
    done = subprocess.run(["git", "--git-dir", repo, *words], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def log(hub: LocalHub) -> str:
    return (hub.root / "hub.log").read_text()


def test_an_interrupted_creation_or_deletion_is_finished(killed):
    root = killed.root
    half, kept = root / "git/0123", folder(killed, "a")
    shutil.copytree(folder(killed, "b"), half)  # no repo has it, so it was never acknowledged
    for name in (half, kept, root / "git/4567"):
        name.with_name(f"{name.name}.unsure").touch()
    scratch = [root / "users.json.12ab.new", kept / "objects/tmp_object_git2_x", kept / "HEAD.lock"]
    scratch += [root / "incoming/abc", root / "incoming/abc.1", kept / "refs/heads/main.lock"]
    for file in scratch:
        file.write_bytes(b"half")
    with killed as hub:
        assert not any(file.exists() for file in (*scratch, half))
        assert not list(root.glob("git/*.unsure"))
        copy = client(hub).hf_hub_download("me/a", "w.bin", local_dir=root.parent)
        assert Path(copy).read_bytes() == b"\0a"
        client(hub).upload_file(path_or_fileobj=b"x", path_in_repo="x", repo_id="me/a")
        assert "warning" not in log(hub)


def test_a_lost_database_costs_no_repo_its_files(killed):
    root = killed.root
    folders, large = {f.name for f in (root / "git").iterdir()}, set(root.glob("lfs/*/*/*"))
    for file in root.glob("hub.db*"):
        file.rename(root.parent / file.name)
    with killed as hub:
        assert list(client(hub).list_models()) == []
        client(hub).create_repo("me/c")
        client(hub).delete_repo("me/c")
        assert set(root.glob("lfs/*/*/*")) == large
        assert {f.name for f in (root / "git").iterdir()} == folders
        assert all(f"{name} belongs to no repo" in log(hub) for name in folders)
    for file in root.glob("hub.db*"):
        file.unlink()
    for file in root.parent.glob("hub.db*"):
        file.rename(root / file.name)
    with killed as hub:
        copy = client(hub).hf_hub_download("me/a", "w.bin", local_dir=root.parent)
        assert Path(copy).read_bytes() == b"\0a"


def test_a_repo_without_its_files_does_not_take_others_along(killed):
    shutil.rmtree(folder(killed, "a"))
    with killed as hub:
        api = client(hub)
        assert [m.id for m in api.list_models()] == ["me/b"]
        assert "cannot read model me/a" in log(hub)
        for attempt in (api.model_info, api.list_repo_files):
            with pytest.raises(RepositoryNotFoundError):
                attempt("me/a")
        api.delete_repo("me/a")
        api.create_repo("me/a")
        api.upload_file(path_or_fileobj=b"x", path_in_repo="x", repo_id="me/a")


def test_large_files_and_the_database_agree_again(killed):
    root, lost = killed.root, "ab" * 32
    stray = root / "lfs" / lost[:2] / lost[2:4] / lost
    stray.parent.mkdir(parents=True)
    stray.write_bytes(b"an object of a commit that was cut short")
    with closing(sqlite3.connect(root / "hub.db")) as db, db:
        db.execute("INSERT INTO lfs_link SELECT id, ? FROM repo WHERE name='a'", [lost])
    with killed as hub:
        assert not stray.exists()
        for name in "ab":
            copy = client(hub).hf_hub_download(f"me/{name}", "w.bin", local_dir=root.parent / name)
            assert Path(copy).read_bytes() == f"\0{name}".encode()


def test_pull_requests_of_an_earlier_version_are_kept(killed):
    """That version stored them in a table and at refs/pr/N; their files stay readable."""
    repo = folder(killed, "a")
    git(repo, "update-ref", "refs/pr/1", "refs/heads/main")
    with closing(sqlite3.connect(killed.root / "hub.db")) as db, db:
        db.execute("CREATE TABLE discussion(repo INT, num INT, doc TEXT, UNIQUE(repo, num))")
        db.execute("INSERT INTO discussion SELECT id, 1, '{}' FROM repo WHERE name='a'")
    with killed as hub:
        client(hub).delete_file("w.bin", "me/a")
    with killed as hub:  # whose start drops what no ref needs
        api = client(hub)
        pulls = api.list_repo_refs("me/a", include_pull_requests=True).pull_requests
        assert [pull.name for pull in pulls] == ["refs/pr/1"]
        copy = api.hf_hub_download("me/a", "w.bin", revision="refs/pr/1", local_dir=hub.root.parent)
        assert Path(copy).read_bytes() == b"\0a"
        assert "warning" not in log(hub)
        api.delete_repo("me/a")


def test_secrets_are_written_completely_or_not_at_all(tmp_path):
    """An empty key would let anybody sign."""
    key = tmp_path / "key"
    signed = Signer(key).sign("x", 60)
    create_private(key, "another")
    assert Signer(key).check("x", signed)
    assert len(key.read_text()) == 64
    assert list(read_users(tmp_path / "users.json")) == ["me", "you"]
    assert sorted(f.name for f in tmp_path.iterdir()) == ["key", "users.json"]
    assert {f.stat().st_mode & 0o777 for f in tmp_path.iterdir()} == {0o600}
