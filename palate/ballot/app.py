"""The web app of both Spaces: a static Gradio page, a small JSON API, sign-in where there is."""

import hashlib
import json
import os
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from palate.ballot.service import Ballot, Person

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


def create_app(ballot: Ballot, *, kind: str) -> Any:
    """Return the FastAPI app of a Space; `kind` is "label" or "evaluate"."""
    import gradio as gr
    from fastapi import FastAPI, Request
    from fastapi.responses import FileResponse, JSONResponse

    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    signed_in = bool(os.environ.get("OAUTH_CLIENT_ID"))
    question = ballot.question

    @app.post("/api/next")
    async def api_next(request: Request) -> JSONResponse:
        return await _answer(request, ballot, signed_in, _next)

    @app.post("/api/events")
    async def api_events(request: Request) -> JSONResponse:
        return await _answer(request, ballot, signed_in, _events)

    @app.get("/api/me")
    def api_me(request: Request) -> JSONResponse:
        person = _person(request, signed_in)
        return JSONResponse({"name": person.name if person else None, "sign_in": signed_in})

    @app.get("/healthz")
    def healthz() -> JSONResponse:
        problem = ballot.problem()
        return JSONResponse({"ready": problem is None, "problem": problem}, 503 if problem else 200)

    @app.get("/ballot/{name}")
    def static(name: str) -> FileResponse:
        known = {f.name: f for f in (HERE / "static").iterdir()}
        file = known.get(name, HERE / "static" / "missing")
        headers = {"Cache-Control": "public, max-age=3600"}
        return FileResponse(file, headers=headers) if name in known else _missing()

    def _missing() -> Any:
        return JSONResponse({"error": "not found"}, 404)

    if signed_in:
        from gradio import oauth
        from starlette.middleware.sessions import SessionMiddleware

        # the key that Gradio's own sign-in uses, so that our routes can read what it wrote
        key = hashlib.sha256(((oauth.OAUTH_CLIENT_SECRET or "") + "-v4").encode()).hexdigest()
        app.add_middleware(SessionMiddleware, secret_key=key, same_site="none", https_only=True)
    app.add_middleware(SafeHeaders)
    page = gr.Blocks(title=question, fill_width=True, analytics_enabled=False)
    with page:
        if signed_in:
            gr.LoginButton(size="sm", elem_id="sign-in")
        html = (HERE / "page.html").read_text("utf-8")
        gr.HTML(
            html_template=html.replace("{{question}}", _escape(question)).replace("{{kind}}", kind),
            js_on_load=(HERE / "ballot.js").read_text("utf-8"),
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


def _next(ballot: Ballot, person: Person, body: dict) -> dict:
    n, have = body.get("n", 8), body.get("have", [])
    if not isinstance(n, int) or not isinstance(have, list):
        raise ValueError("expected a number n and a list have")
    return ballot.next(person, max(0, min(n, AHEAD)), [str(h) for h in have[:1000]])


def _events(ballot: Ballot, person: Person, body: dict) -> dict:
    events = body.get("events")
    if not isinstance(events, list) or len(events) > MOST:
        raise ValueError(f"expected a list of at most {MOST} events")
    return {"results": [asdict(r) for r in ballot.submit(person, events)]}


async def _answer(
    request: Any,
    ballot: Ballot,
    signed_in: bool,
    call: Callable[[Ballot, Person, dict], dict],
) -> Any:
    """Check who asks, from where and what; then call, in a thread."""
    from starlette.concurrency import run_in_threadpool
    from starlette.responses import JSONResponse

    if request.headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
        return JSONResponse({"error": "cross-site requests are refused"}, 403)
    person = _person(request, signed_in)
    if person is None:
        return JSONResponse({"error": "sign in first" if signed_in else "say your name"}, 401)
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


def _person(request: Any, signed_in: bool) -> Person | None:
    """Return who is at the page: by sign-in on a Space, by the name they typed elsewhere."""
    if signed_in:
        from gradio import oauth

        info = oauth._get_valid_oauth_info_from_session(request.session)
        if not info:
            return None
        user = info["userinfo"]
        return Person(f"hf:{user['sub']}", user["preferred_username"])
    from urllib.parse import unquote

    name = unquote(request.headers.get("x-annotator", "")).strip()[:80]
    return Person(f"local:{name.casefold()}", name) if name else None


def _escape(text: str) -> str:
    import html

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
                message = {**message, "headers": [*message["headers"], *self.headers]}
            await send(message)

        await self.app(scope, receive, add if scope["type"] == "http" else send)
