"""The web app of both Spaces: a static page, a small JSON API, and sign-in on the Hub."""

import asyncio
import hmac
import json
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote

from starlette.concurrency import run_in_threadpool
from starlette.middleware.sessions import SessionMiddleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import FileResponse, HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.routing import Mount, Route

from palate.core.errors import PalateError, Unreachable
from palate.web.ballot.people import (
    OverBudget,
    Person,
    person_of,
    provider,
    session_cookie,
    sign_in_required,
)
from palate.web.ballot.render import markdown, template
from palate.web.ballot.service import Ballot
from palate.web.ballot.walls import (
    GradioIcon,
    SafeHeaders,
    StaticPages,
    Walls,
    own_path,
    repo_image,
)

if TYPE_CHECKING:  # `create_app` imports it, once `_hide_folder` has run
    from fastapi import FastAPI

HERE = Path(__file__).parent
MAX_REQUEST_BYTES = 256 * 1024
BODY_SECONDS = 30.0  # in which a request has to arrive
MAX_EVENTS = 50  # in a request
MAX_PAIRS = 20  # in a response
MAX_IDS = 1000  # of a kind in a request
ApiCall = Callable[[Ballot, Person, dict[str, object]], dict[str, object]]


def create_app(ballot: Ballot, routes: Sequence[Route], *, kind: str) -> "FastAPI":
    """Return the app of a Space with the `routes` that only it has; `kind` is label or evaluate."""
    _hide_folder()
    import gradio as gr
    from fastapi import FastAPI

    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    app.router.routes += [Route("/", _page), *_api(ballot, kind), *routes]
    app.add_exception_handler(PalateError, _unavailable)
    app.mount("/ballot", StaticPages(HERE / "static"))
    if sign_in_required():
        app.router.routes += SignIn().routes
        name, key = session_cookie()
        app.add_middleware(SessionMiddleware, key, name, same_site="none", https_only=True)
    app.add_middleware(Walls)
    app.add_middleware(SafeHeaders)
    with gr.Blocks(title="palate", analytics_enabled=False) as blocks:
        pass  # its page would take seconds before the first pair: `/` is the ballot's own
    gr.mount_gradio_app(app, blocks, path="/", footer_links=[], run_history=False, ssr_mode=False)
    (mount,) = [r for r in app.router.routes if isinstance(r, Mount) and r.path == ""]
    mount.app = GradioIcon(mount.app)
    return app


def _page(request: Request) -> Response:
    """Return the ballot, which is the same for everybody: the project's words come as JSON."""
    return FileResponse(HERE / "static" / "index.html", headers={"cache-control": "no-cache"})


def _unavailable(request: Request, error: Exception) -> Response:
    """Answer where something that a route needs cannot be had now: the page tries again."""
    return JSONResponse({"error": str(error)}, 429 if isinstance(error, OverBudget) else 503)


def _hide_folder() -> None:
    """Keep Gradio from taking a checkout's folder `spaces` for the package of that name."""
    spec = find_spec("spaces")
    if spec is not None and spec.origin is None:
        sys.modules["spaces"] = None  # ty: ignore[invalid-assignment]


def _api(ballot: Ballot, kind: str) -> list[Route]:
    def me(request: Request) -> JSONResponse:
        return JSONResponse(_me(ballot, person_of(request), kind))

    def healthz(request: Request) -> JSONResponse:
        problem = ballot.problem()
        return JSONResponse({"ready": problem is None, "problem": problem}, 503 if problem else 200)

    def picture(request: Request) -> Response:
        person = person_of(request)
        if not ballot.may_answer(person) if person else sign_in_required():
            return Response(status_code=403)
        path = request.path_params["path"]
        known = path in ballot.images  # of any other the Hub need not be asked
        image = repo_image(ballot.project_id, ballot.revision, path) if known else None
        if image is None:
            return Response(status_code=404)
        return Response(
            image[0], media_type=image[1], headers={"cache-control": "private, max-age=3600"}
        )

    calls = {"next": _next, "events": _events, "figures": _figures}
    return [
        *(api_route(f"/api/{name}", ballot, call) for name, call in calls.items()),
        Route("/api/me", me),
        Route("/picture/{path:path}", picture),
        Route("/healthz", healthz),
    ]


def _me(ballot: Ballot, person: Person | None, kind: str) -> dict[str, object]:
    # nobody has to sign in on one's own machine, where the page asks for a name
    may = ballot.may_answer(person) if person else not sign_in_required()
    return {
        "name": person.name if person else None,
        "sign_in": sign_in_required(),
        "question": ballot.question,
        "kind": kind,
        "steps": ballot.steps,
        "aspects": ballot.aspects,
        "browser": ballot.browser_key(),
        "may": may,
        "owner": person is not None and ballot.access.owns(person) and kind == "label",
        "guidelines": markdown(ballot.guidelines) if kind == "label" and may else "",
    }


def _next(ballot: Ballot, person: Person, body: dict[str, object]) -> dict[str, object]:
    n, device = body.get("n", 8), body.get("device", "")
    have, waiting = body.get("have", []), body.get("waiting", [])
    if not (
        isinstance(n, int)
        and isinstance(device, str)
        and isinstance(have, list)
        and isinstance(waiting, list)
    ):
        raise ValueError("expected n as a number, have and waiting as lists, device as text")
    ids = [[str(x) for x in values[:MAX_IDS]] for values in (have, waiting)]
    items = ballot.next(person, max(0, min(n, MAX_PAIRS)), ids[0], device[:64], ids[1])
    return items | {"aspects": ballot.aspects}


def _events(ballot: Ballot, person: Person, body: dict[str, object]) -> dict[str, object]:
    events = body.get("events")
    if not isinstance(events, list) or len(events) > MAX_EVENTS:
        raise ValueError(f"expected a list of at most {MAX_EVENTS} events")
    results = [asdict(receipt) for receipt in ballot.submit(person, events)]
    return {"results": results, "aspects": ballot.aspects}


def _figures(ballot: Ballot, person: Person, body: dict[str, object]) -> dict[str, object]:
    return ballot.figures(person)


def api_route(path: str, ballot: Ballot, call: ApiCall) -> Route:
    """Return a POST route that checks the person and the body, then runs `call`."""

    async def endpoint(request: Request) -> JSONResponse:
        if request.headers.get("content-type", "").partition(";")[0] != "application/json":
            return JSONResponse({"error": "expected application/json"}, 415)
        person = await run_in_threadpool(person_of, request)
        if person is None or _is_another(request, person):
            return JSONResponse({"error": "say who you are first"}, 401)
        with ballot.budgets.request(person.subject):
            return await answer(request, person)

    async def answer(request: Request, person: Person) -> JSONResponse:
        if not await run_in_threadpool(ballot.may_answer, person):
            return JSONResponse({"error": "the owner has not opened this project to you"}, 403)
        await run_in_threadpool(ballot.arrive, person, request.cookies)
        content = await read_body(request, MAX_REQUEST_BYTES)
        if content is None:
            expected = f"expected at most {MAX_REQUEST_BYTES} bytes within {BODY_SECONDS:.0f} s"
            return JSONResponse({"error": expected}, 413)
        try:
            body = json.loads(content)
            if not isinstance(body, dict):
                raise ValueError("expected a JSON object")
            return JSONResponse(await run_in_threadpool(call, ballot, person, body))
        except (ValueError, RecursionError) as error:
            return JSONResponse({"error": str(error)[:300]}, 400)

    return Route(path, endpoint, methods=["POST"])


def _is_another(request: Request, person: Person) -> bool:
    """Tell whether the page was opened by somebody else, who has signed out since."""
    name = request.headers.get("x-annotator")
    return person.verified and name is not None and unquote(name) != person.name


async def read_body(request: Request, most: int) -> bytes | None:
    """Return the request's body; None, without reading on, once it exceeds `most` bytes.

    Also None if the client hangs up before its end, or takes too long for it.
    """
    content = bytearray()
    try:
        async with asyncio.timeout(BODY_SECONDS):
            async for chunk in request.stream():
                content += chunk
                if len(content) > most:
                    return None
    except (ClientDisconnect, TimeoutError):
        return None
    return bytes(content)


def owner_route(path: str, ballot: Ballot, answer: Callable[[str], Response]) -> Route:
    """Return a GET route for owners: signed in on the Hub, with the key on one's own machine.

    `answer` is called with the query that opens further pages of the owner's.
    """

    def endpoint(request: Request) -> Response:
        query = owner_query(request, ballot)
        if query is not None:
            return answer(query)
        closed = template("closed.html").render(sign_in=sign_in_required())
        return HTMLResponse(closed, 403)

    return Route(path, endpoint)


def owner_query(request: Request, ballot: Ballot) -> str | None:
    """Return the query that opens an owner's further pages; None if this is no owner."""
    key = request.query_params.get("key", "").encode("utf-8", "replace")
    if not sign_in_required() and hmac.compare_digest(key, ballot.owner_key().encode()):
        return f"?key={ballot.owner_key()}"
    person = person_of(request)
    return "" if person is not None and ballot.access.owns(person) else None


class SignIn:
    """Sign in with Hugging Face, with PKCE where the provider takes it."""

    def __init__(self) -> None:
        from authlib.integrations.starlette_client import OAuth

        self._client = OAuth().register(
            "huggingface",
            client_id=os.environ["OAUTH_CLIENT_ID"],
            client_secret=os.environ["OAUTH_CLIENT_SECRET"],
            client_kwargs={"scope": os.environ.get("OAUTH_SCOPES") or "openid profile"},
            server_metadata_url=f"{provider()}/.well-known/openid-configuration",
        )
        self.routes = [
            Route("/login/huggingface", self._begin),
            Route("/login/callback", self._finish),
            Route("/logout", self._leave),
        ]

    async def _begin(self, request: Request) -> Response:
        request.session.clear()  # earlier attempts would pile up in the cookie
        request.session["target"] = request.query_params.get("_target_url", "/")
        host = os.environ.get("SPACE_HOST", "").split(",")[0]
        here = request.url.replace(path="/login/callback", query="")
        try:
            offered = await self._client.load_server_metadata()
            if "S256" in offered.get("code_challenge_methods_supported", ()):
                self._client.client_kwargs["code_challenge_method"] = "S256"
            back = f"https://{host}/login/callback" if host else str(here)
            return await self._client.authorize_redirect(request, back)
        except Exception as error:  # whatever the answer was
            raise Unreachable(f"{provider()} does not answer. Try again in a minute.") from error

    async def _finish(self, request: Request) -> Response:
        target = own_path(request.session.get("target", "/"))
        try:
            token = await self._client.authorize_access_token(request)
            user = token["userinfo"]
            person = {"sub": user["sub"], "name": user["preferred_username"]}
        except Exception:  # refused, an old link, a lost cookie, no answer: the page offers it
            request.session.clear()
            return RedirectResponse("/?sign-in=failed")
        request.session.clear()
        request.session["person"] = person | {
            "token": token["access_token"], "expires": token.get("expires_at"),
        }  # fmt: skip
        return RedirectResponse(target)

    async def _leave(self, request: Request) -> Response:
        request.session.clear()
        return RedirectResponse(own_path(request.query_params.get("_target_url", "/")))
