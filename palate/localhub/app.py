"""The Hub as an ASGI application: how a request is answered."""

import inspect
import re
import secrets
import traceback
from email.utils import formatdate
from urllib.parse import unquote

import h11
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.types import Receive, Scope, Send

from palate.localhub import (  # noqa: F401 - importing a module adds its routes
    api,
    commits,
    files,
    job_routes,
    lfs,
    openid,
    pages,
    refs,
    sign_in,
    space_routes,
    viewer,
    webhooks,
)
from palate.localhub.accounts import RESERVED
from palate.localhub.calls import Call, router
from palate.localhub.errors import HubError
from palate.localhub.hub import DISK_FULL, Hub, disk_full
from palate.localhub.ports import LOOPBACK_HOSTS

HOST_NAME = re.compile(r"[\w.-]+|\[[0-9a-f:]+\]", re.ASCII | re.IGNORECASE)


class App:
    """What uvicorn calls."""

    def __init__(self, hub: Hub):
        self.hub = hub

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._lifespan(receive, send)
        elif scope["type"] == "http":
            response = await self._answer(Request(scope, receive))
            response.headers["X-Request-Id"] = secrets.token_hex(8)
            # clients leave out log lines later than this, so it must not lag as uvicorn's does
            response.headers["Date"] = formatdate(usegmt=True)
            try:
                await response(scope, receive, send)
            except h11.LocalProtocolError as e:
                if "state=" not in str(e):
                    raise
                # uvicorn has refused what followed this request, and is hanging up
                while (await receive())["type"] != "http.disconnect":
                    pass

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        await receive()
        await run_in_threadpool(self.hub.hosting.resume)
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await run_in_threadpool(self.hub.hosting.close)
        await run_in_threadpool(self.hub.jobs.close)
        await send({"type": "lifespan.shutdown.complete"})

    async def _answer(self, request: Request) -> Response:
        """Find the handler of a request and turn what it returns or raises into a response."""
        raw = request.scope["raw_path"].decode("latin-1")
        segments = [unquote(segment) for segment in raw.strip("/").split("/")]
        path = "/" + "/".join(segments)
        if segments[0] not in RESERVED and segments != [""]:
            segments.insert(0, "models")
        try:
            base = self._base(request)
            route, params = router.find(request.method, segments)
            call = Call(self.hub, request, path, params, base)
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
        except ClientDisconnect:  # nobody reads the answer
            return Response(status_code=400)
        except Exception as e:
            if disk_full(e):
                return self._refuse(request, path, HubError(507, DISK_FULL))
            traceback.print_exc()
            return self._refuse(request, path, HubError(500, "Internal error: see the Hub's log"))

    def _base(self, request: Request) -> str:
        """Return this Hub's address as the client wrote it.

        A Hub on loopback refuses any other name: a foreign web page whose name resolves to this
        machine must not read it.
        """
        own = f"{self.hub.host}:{self.hub.port}"
        host = request.headers.get("host", own)
        name = re.sub(r":\d+$", "", host)
        if not HOST_NAME.fullmatch(name):
            raise HubError(400, "Malformed Host header")
        if self.hub.host in LOOPBACK_HOSTS and name.strip("[]") not in LOOPBACK_HOSTS:
            raise HubError(421, f"This Hub answers as {own}, not as {name}")
        return f"http://{host}"

    def _refuse(self, request: Request, path: str, error: HubError) -> Response:
        if "text/html" in request.headers.get("accept", "") and not path.startswith("/api/"):
            return sign_in.refuse(path, self.hub.session_user(request.cookies), error)
        text = re.sub(r"[^ -~]", "?", error.message)[:500].strip()
        headers = {"X-Error-Message": text} | ({"X-Error-Code": error.code} if error.code else {})
        return JSONResponse({"error": error.message, **error.body}, error.status, headers)
