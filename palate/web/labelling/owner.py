"""The owner's pages: the project's home, and Argilla's own pages behind the Space's sign-in.

The Space forwards requests to Argilla with its own key, so no key and no password reaches a
browser.
"""

import json
import os
import re
import secrets
from collections import Counter
from collections.abc import Callable, Mapping

import httpx
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from palate.argilla.store import LabelStore
from palate.core import hub, ledger
from palate.core.errors import PalateError, UsageError
from palate.core.markdown import count
from palate.core.project import Project
from palate.core.rounds import unique, writer_of
from palate.core.schema import Candidate, Event
from palate.label import agreement, agreement_text
from palate.label.agreement_text import labelling_pictures
from palate.web.ballot import gpu
from palate.web.ballot.app import owner_query, owner_route, read_body
from palate.web.ballot.people import decide, person_of, sign_in_required
from palate.web.ballot.render import template
from palate.web.labelling.ballot import LabelBallot
from palate.web.labelling.home import Changed, Home
from palate.web.labelling.labels import Call, Labels, Refused

ARGILLA_PATH = "/argilla"
METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE"]
# no "range": it costs Argilla's version of Starlette much time (CVE-2025-62727)
FORWARDED = ("accept", "accept-language", "content-type", "if-none-match")
RETURNED = ("cache-control", "content-type", "etag", "last-modified")
API_KEY = re.compile(rb'"api_key"\s*:\s*"[^"]*"')  # in Argilla's description of a user
UNREACHABLE = "Argilla does not answer. Try again in a minute."
MAX_REQUEST_BYTES = 16 * 1024 * 1024
MAX_CALL_BYTES = 512 * 1024
HOME_CALLS = (
    "state", "taken-over", "guidelines", "preview", "write-guidelines", "write-settings",
    "jobs", "job", "cancel", "plan", "start", "run", "vote",
)  # fmt: skip
LABEL_CALLS = ("find", "show", "correct", "remarks", "review")
OWNER_CALLS = ("people", *HOME_CALLS, *LABEL_CALLS)
TIMEOUT_SECONDS = 60
PER_PROMPT, PROMPTS_AT_ONCE = 4, 8  # candidates that a click on "Write candidates" brings


def routes(ballot: LabelBallot) -> list[Route]:
    """Return the routes that only the label Space has."""
    pages = [
        owner_route("/owner", ballot, lambda query: page(ballot, query)),
        owner_route("/owner.json", ballot, lambda query: figures(ballot)),
        _writing_route(ballot),
        *(_call(f"/owner/{name}", ballot, call) for name, call in _calls(ballot).items()),
    ]
    if sign_in_required():  # otherwise the owner opens Argilla itself
        pages.append(owner_route("/owner/argilla", ballot, _argilla_page))
        pages.append(_proxy(ballot))
    return pages


def _calls(ballot: LabelBallot) -> dict[str, Callable[[Call], dict[str, object]]]:
    """Return what the owner's page asks by POST, by the last part of its path."""
    home, labels = Home(ballot), Labels(ballot)
    calls = {name: getattr(home, name.replace("-", "_")) for name in HOME_CALLS}
    calls |= {name: getattr(labels, name) for name in LABEL_CALLS}
    return calls | {"people": lambda body: _decide(ballot, body)}


def _writing_route(ballot: LabelBallot) -> Route:
    """Return the route by which an owner lets the Space's GPU write candidates."""

    def endpoint(request: Request) -> Response:
        query = owner_query(request, ballot)
        if query is None:
            return PlainTextResponse("Only owners may let the Space write.", 403)
        try:
            note = write_candidates(ballot.project_id, request)
        except PalateError as error:
            note = str(error)
        return page(ballot, query, note)

    return Route("/owner/write", endpoint, methods=["POST"])


def write_candidates(project_id: str, request: Request) -> str:
    """Let the round's model write candidates of some prompts that lack them; say what it wrote."""
    project = Project.load(project_id)
    number = project.settings.round
    there = Counter(c.prompt_id for c in unique(project.candidates) if c.round == number)
    lacking = [p for p in project.prompts if p.split != "eval" and there[p.id] < PER_PROMPT]
    if not lacking:
        return f"Every prompt has {PER_PROMPT} candidates of this round."
    name, _, revision = writer_of(project).partition("@")
    model = hub.describe(name, "model", revision or "main")[0]
    writing = gpu.Writing(name, model, temperature=0.9, top_p=1.0)
    seed = secrets.randbelow(2**31)
    asked = [p for p in lacking[:PROMPTS_AT_ONCE] for _ in range(PER_PROMPT - there[p.id])]
    answers = gpu.written(request, writing, [p.prompt for p in asked], seed)
    sampling = {"temperature": 0.9, "top_p": 1.0, "max_new_tokens": writing.max_new_tokens}
    rows = unique(
        Candidate.of(
            p.id, text, model=name, revision=model, sampling=sampling | {"seed": seed}, round=number
        )
        for p, (text, ended) in zip(asked, answers, strict=True)
        if text and ended
    )
    if rows:
        files = {ledger.event_file("candidates"): ledger.jsonl(rows)}
        message = f"Add {len(rows)} candidates of {name}, written in the label Space"
        hub.commit(project_id, "dataset", files, message)
    more = count(len(lacking) - len({p.id for p in asked}), "prompt")
    left_out = len(asked) - len(rows)
    return (
        f"{name} wrote {count(len(rows), 'candidate')}; {left_out} empty, unfinished or repeated"
        f" ones are left out. {more} still to write for. New pairs appear in some seconds."
    )


def page(ballot: LabelBallot, query: str, note: str = "") -> HTMLResponse:
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
            sentences=[*agreement_text.sentences(report, names), *_in_other_aspects(ballot, names)],
            pictures=labelling_pictures(report, names),
            agreed={p.annotator: _agreed(report, p.annotator) for p in report.people},
            here=not sign_in_required(),
            counted=agreement_text.counted,
            alpha=agreement_text.alpha,
            reading=agreement_text.reading(report),
            problem=ballot.problem(),
            unreadable=ballot.unreadable(),
            excluded={who: names.get(who, who) for who in sorted(ballot.people.excluded)},
            answers=answers,
            total=total,
            json=f"/owner.json{query}",
            argilla=_argilla_link(ballot),
            waiting=len(ballot.publisher.waiting()),
            writes=None if gpu.missing() else f"/owner/write{query}",
            note=note,
        )
    )


def _agreed(report: agreement.Report, who: str) -> str:
    """Return "14 of 20": of the pairs that somebody judged too, those they agreed on."""
    rates = [p.agreement for p in report.pairings if who in (p.one, p.other)]
    hits, n = sum(r.hits for r in rates), sum(r.n for r in rates)
    return f"{hits:,} of {n:,}" if n else "–"


def figures(ballot: LabelBallot) -> Response:
    """Return the report as JSON."""
    content = _report(ballot).to_json() | {"excluded": sorted(ballot.people.excluded)}
    if ballot.aspects:
        content["aspects"] = {a: _report(ballot, a).to_json() for a in ballot.aspects}
    text = json.dumps(content, indent=2, ensure_ascii=False)
    return Response(text, media_type="application/json")


def _decide(ballot: LabelBallot, body: Call) -> dict[str, object]:
    """Exclude a person, or count their answers again.

    The Space takes this over as it does what `palate exclude` decides: it reads the project again.
    """
    who, counts = body.get("annotator"), body.get("counts")
    known = {e.annotator for e in ballot.events()} | ballot.people.excluded
    if str(who) not in known or not isinstance(counts, bool):
        raise Refused("expected somebody who has answered, and counts")
    decide(ballot.project_id, [str(who)], "include" if counts else "exclude")
    return {}


def _call(path: str, ballot: LabelBallot, call: Callable[[Call], dict[str, object]]) -> Route:
    """Return a POST route for owners, whose body are the words of `call`, in JSON."""

    async def endpoint(request: Request) -> Response:
        if request.headers.get("content-type", "").partition(";")[0] != "application/json":
            return JSONResponse({"error": "expected application/json"}, 415)
        if await run_in_threadpool(owner_query, request, ballot) is None:
            return JSONResponse({"error": "This is for owners: sign in as one of them."}, 403)
        try:
            body = json.loads(await read_body(request, MAX_CALL_BYTES) or b"")
            if not isinstance(body, dict):
                raise Refused("expected a JSON object")
            return JSONResponse(await run_in_threadpool(call, body))
        except Refused as refused:
            now = {"now": refused.now} if isinstance(refused, Changed) else {}
            return JSONResponse({"error": str(refused)} | now, refused.status)
        except UsageError as error:  # of a setting or a command that cannot work
            return JSONResponse({"error": str(error)}, 400)
        except (ValueError, RecursionError):
            return JSONResponse({"error": "expected a JSON object"}, 400)

    return Route(path, endpoint, methods=["POST"])


def _report(ballot: LabelBallot, aspect: str | None = None) -> agreement.Report:
    """Return the report in one aspect, the project's first."""
    return agreement.report(_events(ballot, aspect or ballot.aspect), ballot.texts())


def _events(ballot: LabelBallot, aspect: str | None) -> list[Event]:
    return [e for e in ballot.events() if e.aspect == aspect or e.kind == "flag"]


def _in_other_aspects(ballot: LabelBallot, names: Mapping[str, str]) -> list[str]:
    """Return the reports in all aspects but the first, and where aspects contradict each other."""
    if not ballot.aspects:
        return []
    lines = [f"All else on this page is about the aspect {ballot.aspect}."]
    for aspect in ballot.aspects[1:]:
        said = agreement_text.sentences(_report(ballot, aspect), names)
        lines += [f"{aspect}: {sentence}" for sentence in said]
    return lines + agreement_text.across({a: _events(ballot, a) for a in ballot.aspects})


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
