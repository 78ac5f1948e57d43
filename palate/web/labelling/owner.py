"""The owner's pages: how people label, and Argilla's own pages behind the Space's sign-in.

The Space forwards requests to Argilla with its own key, so no key and no password reaches a
browser.
"""

import json
import os
import re
from collections.abc import Mapping

import httpx
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, Response
from starlette.routing import Route

from palate.argilla.store import LabelStore
from palate.label import agreement, agreement_text
from palate.label.agreement_text import labelling_pictures
from palate.web.ballot.app import owner_route, read_body
from palate.web.ballot.people import person_of, sign_in_required
from palate.web.ballot.render import template
from palate.web.labelling.ballot import LabelBallot

ARGILLA_PATH = "/argilla"
METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE"]
# no "range": it costs Argilla's version of Starlette much time (CVE-2025-62727)
FORWARDED = ("accept", "accept-language", "content-type", "if-none-match")
RETURNED = ("cache-control", "content-type", "etag", "last-modified")
API_KEY = re.compile(rb'"api_key"\s*:\s*"[^"]*"')  # in Argilla's description of a user
UNREACHABLE = "Argilla does not answer. Try again in a minute."
MAX_REQUEST_BYTES = 16 * 1024 * 1024
TIMEOUT_SECONDS = 60


def routes(ballot: LabelBallot) -> list[Route]:
    """Return the routes that only the label Space has."""
    pages = [
        owner_route("/owner", ballot, lambda query: page(ballot, query)),
        owner_route("/owner.json", ballot, lambda query: figures(ballot)),
    ]
    if sign_in_required():  # otherwise the owner opens Argilla itself
        pages.append(owner_route("/owner/argilla", ballot, _argilla_page))
        pages.append(_proxy(ballot))
    return pages


def page(ballot: LabelBallot, query: str) -> HTMLResponse:
    """Return the report as a page with figures, the only page that shows names."""
    report = _report(ballot)
    names = ballot.names()
    answers, total = ballot.progress()
    return HTMLResponse(
        template("owner.html").render(
            project=ballot.project_id,
            question=ballot.question,
            report=report,
            names={p.annotator: names.get(p.annotator, p.annotator) for p in report.people},
            sentences=agreement_text.sentences(report, names),
            pictures=labelling_pictures(report, names),
            counted=agreement_text.counted,
            alpha=agreement_text.alpha,
            reading=agreement_text.reading(report),
            problem=ballot.problem(),
            unreadable=ballot.unreadable(),
            answers=answers,
            total=total,
            json=f"/owner.json{query}",
            argilla=_argilla_link(ballot),
            waiting=len(ballot.publisher.waiting()),
        )
    )


def figures(ballot: LabelBallot) -> Response:
    """Return the report as JSON."""
    text = json.dumps(_report(ballot).to_json(), indent=2, ensure_ascii=False)
    return Response(text, media_type="application/json")


def _report(ballot: LabelBallot) -> agreement.Report:
    return agreement.report(ballot.events(), ballot.texts())


def _argilla_link(ballot: LabelBallot) -> str | None:
    """Return the address of Argilla's pages for an owner, or None before Argilla is up."""
    if url := os.environ.get("ARGILLA_API_URL"):
        return url
    if sign_in_required():
        return "/owner/argilla"
    store = ballot.store()
    return store.url if store else None


def _argilla_page(query: str) -> HTMLResponse:
    """Return the page that makes Argilla's interface believe that somebody is signed in."""
    return HTMLResponse(template("argilla.html").render())


def _proxy(ballot: LabelBallot) -> Route:
    """Return a route that forwards owners' requests to Argilla with the Space's key."""
    client = httpx.AsyncClient(timeout=TIMEOUT_SECONDS)

    async def endpoint(request: Request) -> Response:
        person = await run_in_threadpool(person_of, request)
        if person is None or not await run_in_threadpool(ballot.access.owns, person):
            return PlainTextResponse("Argilla's pages are for owners: sign in as one of them.", 403)
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

    return Route(f"{ARGILLA_PATH}/{{path:path}}", endpoint, methods=METHODS)


async def _send(
    client: httpx.AsyncClient, request: Request, store: LabelStore, content: bytes
) -> httpx.Response | None:
    """Return Argilla's answer, or None if it gives none."""
    path = request.scope["path"].removeprefix(ARGILLA_PATH) or "/"
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
