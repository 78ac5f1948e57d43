"""Uploads and downloads of the unmodified client."""

import os
import re
import select
import socket
import socketserver
import threading
from pathlib import Path

from hub_requests import upload
from huggingface_hub import CommitOperationAdd, hf_hub_download, snapshot_download


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


def test_folders_and_snapshots(api, repo, tmp_path):
    for i in range(40):
        (tmp_path / f"f{i}.txt").write_text("x" * i)
    (tmp_path / "x.safetensors").write_bytes(os.urandom(1000))
    api.upload_folder(folder_path=tmp_path, repo_id=repo, path_in_repo="sub")
    copy = Path(snapshot_download(repo, token=api.token)) / "sub"
    names = {file.name for file in tmp_path.iterdir()}
    assert {file.name for file in copy.iterdir()} == names
    assert all((copy / name).read_bytes() == (tmp_path / name).read_bytes() for name in names)


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
