"""Argilla's own pages behind the Space's sign-in, for owners.

The Space forwards requests with its own key, so no key and no password reaches a browser.
"""

import os
import re
from collections.abc import Mapping

import httpx
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, Response
from starlette.routing import Route

from palate.argilla.store import LabelStore
from palate.web.ballot.app import read_body
from palate.web.ballot.people import person_of, sign_in_required
from palate.web.ballot.render import template
from palate.web.labelling.ballot import LabelBallot

BASE = "/argilla"
METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE"]
FORWARDED = ("accept", "accept-language", "content-type", "if-none-match", "range")
RETURNED = ("cache-control", "content-range", "content-type", "etag", "last-modified")
API_KEY = re.compile(rb'"api_key"\s*:\s*"[^"]*"')  # in Argilla's description of a user
UNREACHABLE = "Argilla does not answer. Try again in a minute."
MAX_REQUEST_BYTES = 16 * 1024 * 1024
TIMEOUT_SECONDS = 60


def link(ballot: LabelBallot) -> str | None:
    """Return the address of Argilla's pages for an owner, or None before Argilla is up."""
    if url := os.environ.get("ARGILLA_API_URL"):
        return url
    if sign_in_required():
        return "/owner/argilla"
    store = ballot.store()
    return store.url if store else None


def page(query: str) -> HTMLResponse:
    """Return the page that makes Argilla's interface believe that somebody is signed in."""
    return HTMLResponse(template("argilla.html").render(base=BASE))


def proxy(ballot: LabelBallot) -> Route:
    """Return a route that forwards owners' requests to Argilla with the Space's key."""
    client = httpx.AsyncClient(timeout=TIMEOUT_SECONDS)

    async def endpoint(request: Request) -> Response:
        person = await run_in_threadpool(person_of, request)
        if person is None or not await run_in_threadpool(ballot.access.owns, person):
            return PlainTextResponse("Argilla's pages are for owners: sign in as one of them.", 403)
        site = request.headers.get("sec-fetch-site", "same-origin")
        if request.method != "GET" and site not in ("same-origin", "none"):
            return PlainTextResponse("Cross-site requests are refused.", 403)
        store = ballot.store()
        if store is None:
            why = (ballot.problem() or "Argilla is starting").rstrip(".")
            return PlainTextResponse(f"{why}. This page keeps trying.", 503)
        content = await read_body(request, MAX_REQUEST_BYTES)
        if content is None:
            return PlainTextResponse(f"Expected at most {MAX_REQUEST_BYTES} bytes.", 413)
        answer = await _send(client, request, store, content)
        if answer is None:
            return PlainTextResponse(UNREACHABLE, 503)
        body = API_KEY.sub(b'"api_key":""', answer.content)
        return Response(body, answer.status_code, _only(answer.headers, RETURNED))

    return Route(f"{BASE}/{{path:path}}", endpoint, methods=METHODS)


async def _send(
    client: httpx.AsyncClient, request: Request, store: LabelStore, content: bytes
) -> httpx.Response | None:
    """Return Argilla's answer, or None if it gives none."""
    path = request.scope["path"].removeprefix(BASE) or "/"
    url = httpx.URL(store.url).copy_with(path=path, query=request.url.query.encode())
    headers = _only(request.headers, FORWARDED) | store.headers()
    # Argilla may have closed the connection at that moment; a GET is safe to send again
    for _ in range(2 if request.method == "GET" else 1):
        try:
            return await client.request(request.method, url, content=content, headers=headers)
        except httpx.TransportError:
            pass
    return None


def _only(headers: Mapping[str, str], names: tuple[str, ...]) -> dict[str, str]:
    return {name: value for name, value in headers.items() if name in names}
