"""The local Hub: a small server that the usual Hugging Face clients work with.

    with LocalHub(Path("hub")) as hub:
        HfApi(endpoint=hub.endpoint, token=hub.token).create_repo("me/titles")

It imports nothing else of palate; clients reach it over HTTP. `app.py` shows the way of a request.
"""

import http.client
import json
import secrets
import subprocess
import sys
import time
from pathlib import Path
from urllib.parse import quote

from palate.localhub.ports import free_port

__all__ = ["LocalHub", "serve"]

START = 30.0  # seconds in which a server has to answer
STOP = 30.0  # seconds to end in, with its Spaces


class LocalHub:
    """A Hub in a process of its own, which ends with this one at the latest.

    After `start` there are `endpoint`, `tokens` by user, `user` and `token` (the first of them)
    and `process`.
    """

    endpoint: str
    user: str
    token: str
    tokens: dict[str, str]
    process: subprocess.Popen

    def __init__(self, root: Path, *, port: int = 0, host: str = "127.0.0.1"):
        self.root, self.host, self.port = Path(root).absolute(), host, port

    def start(self) -> "LocalHub":
        """Return when the server answers; `OSError` says why it does not."""
        self.port = free_port(self.host, self.port)
        self.root.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.endpoint = f"http://{f'[{self.host}]' if ':' in self.host else self.host}:{self.port}"
        command = [sys.executable, "-m", "palate.localhub", "--lifeline", "--root", str(self.root)]
        command += ["--host", self.host, "--port", str(self.port)]
        log = self.root / "hub.log"
        log.touch(mode=0o600)
        begin = log.stat().st_size
        with log.open("ab") as out:
            self.process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=out, stderr=out, start_new_session=True
            )
        deadline = time.monotonic() + START
        while not self._answers():
            if self.process.poll() is not None or time.monotonic() > deadline:
                self.stop()
                said = log.read_text(errors="replace")[begin:].strip()[-2000:]
                raise OSError(said.removeprefix("error: ") or f"no answer within {START:.0f} s")
            time.sleep(0.02)
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

    def login_url(self, next: str = "/") -> str:
        """An address that signs a browser in as the first user, once, within ten minutes."""
        from palate.localhub.accounts import Signer

        claims = {"user": self.user, "nonce": secrets.token_hex(12)}
        ticket = Signer(self.root / "key").sign("login", 600, **claims)
        return f"{self.endpoint}/login?next={quote(next, safe='/')}&ticket={ticket}"

    def register_app(
        self, name: str, redirect_uris: list[str], seconds: float = 8 * 3600.0
    ) -> tuple[str, str]:
        """Let an app offer "Sign in with Hugging Face"; return its client id and secret.

        A session lasts `seconds`, as `hf_oauth_expiration_minutes` says in a Space's front matter.
        """
        from palate.localhub.openid import register

        return register(self.root, name, redirect_uris, seconds)

    def stop(self) -> None:
        """End the server and its jobs; nothing happens if it has ended."""
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(STOP)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        if self.process.stdin:
            self.process.stdin.close()

    def __enter__(self) -> "LocalHub":
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()


def serve(root: Path, *, host: str = "127.0.0.1", port: int = 8123) -> None:
    """Serve a Hub in this process until Ctrl-C, saying where it is and how to use it.

    Raises `OSError` if the port or the folder is in use, `ValueError` for a wrong users.json.
    """
    from palate.localhub.server import run

    run(root, host=host, port=port)
