"""Clients that commit to a Hub at the same time."""

import threading
import time

from huggingface_hub import CommitOperationAdd, HfApi
from huggingface_hub.errors import HfHubHTTPError
from huggingface_hub.utils import get_session, httpx

from palate.localhub import LocalHub

TIMEOUT_SECONDS = 300
PAUSE_SECONDS = 0.05  # before a commit is tried again


class Crowd:
    """Threads that commit `count` times each, retrying until the Hub acknowledges.

    `acknowledged` are repo, path and commit id of the acknowledged commits.
    """

    def __init__(self, api: HfApi, shared: list[str], writers: int, count: int):
        self.api, self.shared, self.count = api, shared, count
        self.acknowledged: list[tuple[str, str, str]] = []
        self.tried_again = 0
        self._more = threading.Condition()
        self._threads = [threading.Thread(target=self._work, args=[i]) for i in range(writers)]
        for thread in self._threads:
            thread.start()

    def wait_for(self, count: int) -> None:
        """Return once `count` commits are acknowledged."""
        with self._more:
            if not self._more.wait_for(lambda: len(self.acknowledged) >= count, TIMEOUT_SECONDS):
                raise TimeoutError(f"{len(self.acknowledged)} of {count} commits in time")

    def join(self) -> None:
        for thread in self._threads:
            thread.join(2 * TIMEOUT_SECONDS)

    def lost(self, hub: LocalHub) -> list[tuple[str, str]]:
        """Return the acknowledged commits that are not in the history or not on main as sent."""
        history = {
            repo: {commit.commit_id for commit in self.api.list_repo_commits(repo)}
            for repo in {repo for repo, _, _ in self.acknowledged}
        }
        return [
            (repo, path)
            for repo, path, oid in self.acknowledged
            if oid not in history[repo] or not _is_there(hub, repo, path)
        ]

    def _work(self, writer: int) -> None:
        for n in range(self.count):
            repo = (*self.shared, f"me/own-{writer}")[n % 3]
            path = f"{writer}/{n}"
            oid = self._commit(repo, path)
            with self._more:
                self.acknowledged.append((repo, path, oid))
                self._more.notify_all()

    def _commit(self, repo: str, path: str) -> str:
        while True:
            files = [CommitOperationAdd(f"{path}.txt", path.encode())]
            files.append(CommitOperationAdd(f"{path}.bin", f"\0{path}".encode()))
            try:
                return self.api.create_commit(repo, files, commit_message=path).oid
            except (HfHubHTTPError, httpx.HTTPError, RuntimeError, OSError):
                self.tried_again += 1
                time.sleep(PAUSE_SECONDS)


def _is_there(hub: LocalHub, repo: str, path: str) -> bool:
    """Tell whether both files of a commit are on main as they were sent."""
    headers = {"Authorization": f"Bearer {hub.token}"}
    for suffix, content in ((".txt", path.encode()), (".bin", f"\0{path}".encode())):
        url = f"{hub.endpoint}/{repo}/resolve/main/{path}{suffix}"
        if get_session().get(url, headers=headers).content != content:
            return False
    return True
