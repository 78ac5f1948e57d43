"""The web app of both Spaces: a static Gradio page, a small JSON API, sign-in where there is."""

import hmac
import html
import json
import os
import sys
from collections.abc import Callable
from dataclasses import asdict
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from palate.web.ballot import argilla_pages, owner, result, signin
from palate.web.ballot.access import Person
from palate.web.ballot.render import markdown
from palate.web.ballot.service import Ballot

HERE = Path(__file__).parent
LARGEST = 256 * 1024  # bytes of a request
MOST = 50  # events in a request
AHEAD = 20  # pairs in an answer
# What Gradio needs of inline script and eval, and nothing from anywhere else.
POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval';"
    " style-src 'self' 'unsafe-inline'; img-src 'self' data:; font-src 'self' data:;"
    " connect-src 'self'; object-src 'none'; base-uri 'self'; form-action 'self' {provider};"
    " frame-ancestors 'self' https://huggingface.co"
)
START = "import('/ballot/ballot.js').then((page) => page.start(element))"


def create_app(ballot: Ballot, *, kind: str) -> Any:
    """Return the FastAPI app of a Space; `kind` is "label" or "evaluate"."""
    _hide_folder()
    import gradio as gr
    from fastapi import FastAPI, Request
    from fastapi.responses import JSONResponse
    from starlette.middleware.sessions import SessionMiddleware
    from starlette.staticfiles import StaticFiles

    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    for path, call in (("next", _next), ("events", _events), ("figures", _figures)):
        app.post(f"/api/{path}")(_route(ballot, call))

    @app.get("/api/me")
    def api_me(request: Request) -> JSONResponse:
        person = signin.person_of(request)
        return JSONResponse(_me(ballot, person, kind))

    @app.get("/healthz")
    def healthz() -> JSONResponse:
        problem = ballot.problem()
        return JSONResponse({"ready": problem is None, "problem": problem}, 503 if problem else 200)

    if kind == "label":
        app.get("/owner")(_owners(ballot, owner.page))
        app.get("/owner.json")(_owners(ballot, owner.figures))
        if signin.required():
            app.get("/owner/argilla")(_owners(ballot, argilla_pages.open_page))
            methods = ["GET", "POST", "PUT", "PATCH", "DELETE"]
            path = f"{argilla_pages.BASE}/{{path:path}}"
            app.api_route(path, methods=methods)(argilla_pages.proxy(ballot))
    else:
        app.post("/api/stop")(_route(ballot, _stop))
        app.get("/verdict")(_stopped(ballot, result.page))
        app.get("/verdict.json")(_stopped(ballot, result.figures))
    app.mount("/ballot", StaticFiles(directory=HERE / "static"))
    if signin.required():
        key = signin.session_key()
        app.add_middleware(SessionMiddleware, secret_key=key, same_site="none", https_only=True)
    app.add_middleware(SafeHeaders)
    page = gr.Blocks(title=ballot.question, fill_width=True, analytics_enabled=False)
    with page:
        if signin.required():
            gr.LoginButton(size="sm", elem_id="sign-in")
        text = (HERE / "page.html").read_text("utf-8")
        text = text.replace("{{question}}", _escape(ballot.question)).replace("{{kind}}", kind)
        gr.HTML(
            html_template=text,
            js_on_load=START,
            apply_default_css=False,
            elem_id="ballot-root",
        )
    font = ["Inter Variable", "ui-sans-serif", "system-ui", "sans-serif"]
    return gr.mount_gradio_app(
        app,
        page,
        path="/",
        theme=gr.themes.Base(font=font, font_mono=["ui-monospace", "monospace"]),
        css=(HERE / "ballot.css").read_text("utf-8"),
        head='<meta name="viewport" content="width=device-width, initial-scale=1,'
        ' viewport-fit=cover"><meta name="robots" content="noindex">',
        footer_links=[],
        run_history=False,
        ssr_mode=False,
    )


def _hide_folder() -> None:
    """Keep a checkout's folder `spaces` from passing for the package that Gradio knows."""
    found = find_spec("spaces")
    if found is not None and found.origin is None:
        sys.modules["spaces"] = None  # ty: ignore[invalid-assignment]


def _me(ballot: Ballot, person: Person | None, kind: str) -> dict:
    return {
        "name": person.name if person else None,
        "sign_in": signin.required(),
        "may": person is None or ballot.access.may_label(person),
        "owner": person is not None and ballot.access.owns(person) and kind == "label",
        "guidelines": markdown(ballot.guidelines) if kind == "label" else "",
    }


def _next(ballot: Ballot, person: Person, body: dict) -> dict:
    n, device = body.get("n", 8), body.get("device", "")
    have, waiting = body.get("have", []), body.get("waiting", [])
    if not (
        isinstance(n, int)
        and isinstance(device, str)
        and isinstance(have, list)
        and isinstance(waiting, list)
    ):
        raise ValueError("expected a number n, lists have and waiting, a text device")
    ids = [list(map(str, some[:1000])) for some in (have, waiting)]
    return ballot.next(person, max(0, min(n, AHEAD)), ids[0], device[:64], ids[1])


def _events(ballot: Ballot, person: Person, body: dict) -> dict:
    events = body.get("events")
    if not isinstance(events, list) or len(events) > MOST:
        raise ValueError(f"expected a list of at most {MOST} events")
    return {"results": [asdict(r) for r in ballot.submit(person, events)]}


def _figures(ballot: Ballot, person: Person, body: dict) -> dict:
    return ballot.figures(person)


def _stop(ballot: Any, person: Person, body: dict) -> dict:
    return {"link": f"/verdict?key={ballot.stop(person)}"}


def _stopped(ballot: Any, answer: Callable[[Any, str], Any]) -> Callable:
    """Return a route for those who have stopped voting, and for the owner's link."""
    from fastapi import Request
    from starlette.responses import HTMLResponse

    def route(request: Request) -> Any:
        key = request.query_params.get("key", "")
        if ballot.opens(key):
            return answer(ballot, f"?key={key}")
        return HTMLResponse(result.closed(signin.required()), 403)

    route.__annotations__["request"] = Request
    return route


def _route(ballot: Ballot, call: Callable[[Ballot, Person, dict], dict]) -> Callable:
    """Return a route that checks who asks, from where and what; then calls, in a thread."""
    from fastapi import Request
    from starlette.concurrency import run_in_threadpool
    from starlette.responses import JSONResponse

    async def route(request: Request) -> JSONResponse:
        if request.headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
            return JSONResponse({"error": "cross-site requests are refused"}, 403)
        person = await run_in_threadpool(signin.person_of, request)
        if person is None:
            return JSONResponse({"error": "say who you are first"}, 401)
        if not await run_in_threadpool(ballot.access.may_label, person):
            return JSONResponse({"error": "only invited people take part in this project"}, 403)
        content = b""
        async for chunk in request.stream():
            content += chunk
            if len(content) > LARGEST:
                return JSONResponse({"error": f"expected at most {LARGEST} bytes"}, 413)
        try:
            body = json.loads(content)
            if not isinstance(body, dict):
                raise ValueError("expected a JSON object")
            return JSONResponse(await run_in_threadpool(call, ballot, person, body))
        except (ValueError, RecursionError) as error:
            return JSONResponse({"error": str(error)[:300]}, 400)

    route.__annotations__["request"] = Request
    return route


def _owners(ballot: Ballot, answer: Callable[[Any, str], Any]) -> Callable:
    """Return a route for owners alone: signed in on a Space, with the key on one's machine."""
    from fastapi import Request
    from starlette.responses import HTMLResponse

    def route(request: Request) -> Any:
        person = signin.person_of(request)
        key = request.query_params.get("key", "").encode("utf-8", "replace")
        opens = not signin.required() and hmac.compare_digest(key, ballot.owner_key().encode())
        if opens or (person is not None and ballot.access.owns(person)):
            return answer(ballot, f"?key={ballot.owner_key()}" if opens else "")
        return HTMLResponse(owner.closed(signin.required()), 403)

    route.__annotations__["request"] = Request
    return route


def _escape(text: str) -> str:
    return html.escape(text, quote=True).replace("{", "&#123;").replace("$", "&#36;")


class SafeHeaders:
    """Adds the headers that keep a page from being more than a page."""

    def __init__(self, app: Any):
        self.app = app
        provider = os.environ.get("OPENID_PROVIDER_URL", "https://huggingface.co")
        self.headers = [
            (b"content-security-policy", POLICY.format(provider=provider).encode()),
            (b"referrer-policy", b"no-referrer"),
            (b"x-content-type-options", b"nosniff"),
        ]

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        async def add(message: Any) -> None:
            if message["type"] == "http.response.start":
                headers = [*message["headers"], *self.headers]
                if scope["path"].startswith("/ballot/"):
                    headers.append((b"cache-control", b"no-cache"))  # asks whether it is the same
                message = {**message, "headers": headers}
            await send(message)

        await self.app(scope, receive, add if scope["type"] == "http" else send)
