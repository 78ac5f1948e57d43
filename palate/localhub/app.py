"""The Hub as one ASGI application: its state, and the way of a request through it."""

import fcntl
import inspect
import os
import re
import secrets
import shutil
import traceback
from email.utils import formatdate
from pathlib import Path
from urllib.parse import unquote

import h11
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response

from palate.localhub import (  # noqa: F401 - importing a module adds its routes
    api,
    commits,
    discussions,
    files,
    job_routes,
    lfs,
    openid,
    pages,
    refs,
    spaces,
)
from palate.localhub.accounts import RESERVED, Accounts, Signer, User
from palate.localhub.calls import Call, router
from palate.localhub.database import Database
from palate.localhub.errors import HubError, disk_full
from palate.localhub.hosting import Hosting
from palate.localhub.jobs import Jobs
from palate.localhub.objects import LFS
from palate.localhub.recovery import finish, unlock
from palate.localhub.repos import Repo, Repos

RESERVE = 1_000_000  # bytes that stay free for the database
FULL = "The disk of this Hub is full: make room where it keeps its data, then try again"
LOOPBACK = ("127.0.0.1", "localhost", "[::1]")


class Hub:
    """All that a Hub knows, in `root`; only one process may have it open at a time.

    Raises `OSError` if another one has, `ValueError` if users.json is wrong.
    """

    def __init__(self, root: Path, host: str, port: int):
        self.root, self.host, self.port = root, host, port
        self.pid, self.stopping = os.getpid(), False
        root.mkdir(parents=True, exist_ok=True)
        self._open = (root / "open").open("w")
        try:
            fcntl.flock(self._open, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise OSError(
                f"{root} is in use by another local Hub: stop it or choose --root"
            ) from None
        unlock(root)
        self.accounts = Accounts(root / "users.json")
        self.signer = Signer(root / "key")
        self.db = Database(root / "hub.db")
        self.repos = Repos(self.db, root / "git")
        self.lfs = LFS(self.db, root)
        finish(self.db, self.repos, self.lfs)
        self.jobs = Jobs(self.db, root / "jobs")
        self.hosting = Hosting(root, self.db, self.repos, self.lfs, f"http://{host}:{port}")

    def next_discussion(self, repo: Repo) -> int:
        sql = "SELECT ifnull(max(num), 0) + 1 AS num FROM discussion WHERE repo=?"
        row = self.db.one(sql, repo.id)
        return row["num"] if row else 1

    def need_space(self, count: int) -> None:
        """Raise `HubError` 507 unless `count` bytes and a reserve fit on the disk.

        libgit2 cannot be relied on to say so: it loses the system's error.
        """
        if shutil.disk_usage(self.root).free < count + RESERVE:
            raise HubError(507, FULL)

    @property
    def cookie(self) -> str:
        return f"palate_hub_{self.port}"  # browsers share cookies between the ports of a host

    def session_user(self, cookies: dict[str, str]) -> User | None:
        """Who signed in in this browser, unless their token has changed since."""
        try:
            claims = self.signer.check("session", cookies.get(self.cookie, ""))
        except HubError:
            return None
        user = self.accounts.users().get(claims["user"])
        same = user and claims["token"] == self.signer.fingerprint(user.token)
        return user if same else None

    def base(self, request: Request) -> str:
        """This Hub's address as the client wrote it.

        A name that only leads to this machine is refused on a loopback Hub: a foreign web page
        whose name is made to point here must not read it.
        """
        host = request.headers.get("host", f"{self.host}:{self.port}")
        name = re.sub(r":\d+$", "", host)
        if not re.fullmatch(r"[\w.-]+|\[[0-9a-f:]+\]", name, re.ASCII | re.IGNORECASE):
            raise HubError(400, "Malformed Host header")
        if self.host in LOOPBACK and name not in LOOPBACK:
            raise HubError(421, f"This Hub answers as {self.host}:{self.port}, not as {name}")
        return f"http://{host}"

    async def answer(self, request: Request) -> Response:
        """Find the handler of a request and turn what it returns or raises into a response."""
        raw = request.scope["raw_path"].decode("latin-1")
        segments = [unquote(s) for s in raw.strip("/").split("/")]
        path = "/" + "/".join(segments)
        if segments[0] not in RESERVED and segments != [""]:
            segments.insert(0, "models")
        try:
            base = self.base(request)
            route, params = router.find(request.method, segments)
            call = Call(self, request, path, params, base)
            if not route.reads:
                call.need_write_token()
            if inspect.iscoroutinefunction(route.handler):
                result = await route.handler(call)
            else:
                call.body = await call.receive()
                result = await run_in_threadpool(route.handler, call)
            return result if isinstance(result, Response) else JSONResponse(result)
        except HubError as e:
            return self._refuse(request, path, e)
        except ClientDisconnect:  # nobody listens to an answer
            return Response(status_code=400)
        except Exception as e:
            if disk_full(e):
                return self._refuse(request, path, HubError(507, FULL))
            traceback.print_exc()
            return self._refuse(request, path, HubError(500, "Internal error: see the Hub's log"))

    def _refuse(self, request: Request, path: str, error: HubError) -> Response:
        if "text/html" in request.headers.get("accept", "") and not path.startswith("/api/"):
            return pages.refuse(path, self.session_user(request.cookies), error)
        text = re.sub(r"[^ -~]", "?", error.message)[:500].strip()
        headers = {"X-Error-Message": text} | ({"X-Error-Code": error.code} if error.code else {})
        if error.status == 401 and path.endswith(("/info/refs", "/git-upload-pack", "/batch")):
            headers["WWW-Authenticate"] = 'Basic realm="a user name and a token"'  # git asks then
        return JSONResponse({"error": error.message, **error.body}, error.status, headers)


class App:
    """What uvicorn calls."""

    def __init__(self, hub: Hub):
        self.hub = hub

    async def __call__(self, scope, receive, send) -> None:
        if scope["type"] == "lifespan":
            await self._lifespan(receive, send)
        elif scope["type"] == "http":
            response = await self.hub.answer(Request(scope, receive))
            response.headers["X-Request-Id"] = secrets.token_hex(8)
            # clients leave out log lines later than this: it may not lag, as uvicorn's own does
            response.headers["Date"] = formatdate(usegmt=True)
            try:
                await response(scope, receive, send)
            except h11.LocalProtocolError as e:
                if "state=" not in str(e):
                    raise
                # uvicorn has refused what came behind this request already, and is hanging up
                while (await receive())["type"] != "http.disconnect":
                    pass

    async def _lifespan(self, receive, send) -> None:
        await receive()
        await run_in_threadpool(self.hub.hosting.resume)
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await run_in_threadpool(self.hub.hosting.close)
        await run_in_threadpool(self.hub.jobs.close)
        await send({"type": "lifespan.shutdown.complete"})
