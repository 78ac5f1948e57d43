"""Argilla's own pages behind the Space's sign-in, for owners.

Requests go on with the Space's key, which stays here: no key and no password reaches a browser.
"""

import os
import re
from collections.abc import Callable
from functools import partial
from typing import Any

from palate.argilla.store import LabelStore
from palate.web.ballot import signin
from palate.web.ballot.owner import template

BASE = "/argilla"
SENT = ("accept", "accept-language", "content-type", "if-none-match", "range")
KEPT = ("cache-control", "content-range", "content-type", "etag", "last-modified")
API_KEY = re.compile(rb'"api_key"\s*:\s*"[^"]*"')  # stands in what Argilla says of a user
AWAY = "Argilla does not answer; try again in a minute."
LARGEST = 16 * 1024 * 1024  # bytes of a request


def link(ballot: Any) -> str | None:
    """Return where an owner finds Argilla's own pages, or None before there is one."""
    if url := os.environ.get("ARGILLA_API_URL"):
        return url
    if signin.required():
        return "/owner/argilla"
    store = ballot.store()
    return store.url if store else None


def open_page(ballot: Any, link: str) -> Any:
    """Return the page that lets Argilla's interface know that somebody is signed in."""
    from starlette.responses import HTMLResponse

    return HTMLResponse(template("argilla.html").render(base=BASE))


def proxy(ballot: Any) -> Callable:
    """Return a route that hands requests of owners on to Argilla, as the Space's own."""
    import httpx
    from fastapi import Request
    from starlette.concurrency import run_in_threadpool
    from starlette.responses import PlainTextResponse, Response

    client = httpx.AsyncClient(timeout=60)

    async def route(request: Request) -> Response:
        person = await run_in_threadpool(signin.person_of, request)
        if person is None or not await run_in_threadpool(ballot.access.owns, person):
            return PlainTextResponse("Argilla's pages are for owners: sign in as one of them.", 403)
        site = request.headers.get("sec-fetch-site", "same-origin")
        if request.method != "GET" and site not in ("same-origin", "none"):
            return PlainTextResponse("Cross-site requests are refused.", 403)
        store: LabelStore | None = ballot.store()
        if store is None:
            why = (ballot.problem() or "Argilla is starting").rstrip(".")
            return PlainTextResponse(f"{why}. This page tries again by itself.", 503)
        content = b""
        async for chunk in request.stream():
            content += chunk
            if len(content) > LARGEST:
                return PlainTextResponse(f"Expected at most {LARGEST} bytes.", 413)
        headers = {k: v for k, v in request.headers.items() if k in SENT}
        path = request.scope["path"].removeprefix(BASE) or "/"
        url = httpx.URL(store.url).copy_with(path=path, query=request.url.query.encode())
        send = partial(client.request, request.method, url, content=content)
        for again in (request.method == "GET", False):
            try:
                answer = await send(headers=headers | store.headers())
                break
            except httpx.TransportError:  # perhaps Argilla closed a connection as we took it up
                if not again:
                    return PlainTextResponse(AWAY, 503)
        kept = {k: v for k, v in answer.headers.items() if k in KEPT}
        return Response(API_KEY.sub(b'"api_key":""', answer.content), answer.status_code, kept)

    route.__annotations__["request"] = Request
    return route
