"""A local Hub in a child process."""

import http.client
import json
import subprocess
import sys
import time
from pathlib import Path

from palate.localhub.accounts import create_root, login_url
from palate.localhub.errors import ServeError
from palate.localhub.ports import address, free_port

START_SECONDS = 300.0  # in which the server has to answer: it needs 2 s of a processor
STOP_SECONDS = 30.0  # in which the server has to end its Spaces and itself
POLL_SECONDS = 0.02


class LocalHub:
    """A Hub in a child process, which ends with this process at the latest.

    `start` sets `endpoint`, `tokens` by user, `user` and `token` (of the first user) and `process`.
    """

    endpoint: str
    user: str
    token: str
    tokens: dict[str, str]
    process: subprocess.Popen[bytes]

    def __init__(self, root: Path, *, port: int = 0, host: str = "127.0.0.1"):
        self.root, self.host, self.port = Path(root).absolute(), host, port

    def start(self) -> "LocalHub":
        """Return once the server answers; ServeError says why it does not."""
        self.port = free_port(self.host, self.port)
        create_root(self.root)
        self.endpoint = address(self.host, self.port)
        command = [sys.executable, "-m", "palate.localhub", "--lifeline", "--root", str(self.root)]
        command += ["--host", self.host, "--port", str(self.port)]
        log = self.root / "hub.log"
        log.touch(mode=0o600)
        log_start = log.stat().st_size
        with log.open("ab") as out:
            self.process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=out, stderr=out, start_new_session=True
            )
        deadline = time.monotonic() + START_SECONDS
        while not self._answers():
            if self.process.poll() is not None or time.monotonic() > deadline:
                self.stop()
                output = log.read_bytes()[log_start:].decode(errors="replace").strip()[-2000:]
                silence = f"the Hub did not answer within {START_SECONDS:.0f} s"
                raise ServeError(output.removeprefix("error: ") or silence)
            time.sleep(POLL_SECONDS)
        users = json.loads((self.root / "users.json").read_text())
        self.tokens = {name: user["token"] for name, user in users.items()}
        self.user, self.token = next(iter(self.tokens.items()))
        return self

    def _answers(self) -> bool:
        connection = http.client.HTTPConnection(self.host, self.port, timeout=5)
        try:
            connection.request("GET", "/healthz")
            return json.loads(connection.getresponse().read()).get("pid") == self.process.pid
        except (OSError, ValueError, http.client.HTTPException):
            return False
        finally:
            connection.close()

    def login_url(self, target: str = "/") -> str:
        """Return a link that signs a browser in as the first user, once, within ten minutes."""
        return login_url(self.endpoint, self.root / "key", self.user, target)

    def stop(self) -> None:
        """End the server and its jobs; does nothing if it has ended."""
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        if self.process.stdin:
            self.process.stdin.close()

    def __enter__(self) -> "LocalHub":
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()
