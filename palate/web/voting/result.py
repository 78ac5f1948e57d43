"""The verdict page, for people who have stopped voting: it cannot influence their votes."""

import json
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from itertools import combinations

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from palate.core import hub
from palate.core.errors import PalateError
from palate.core.schema import BEST_OF, Event, model_of
from palate.evaluate import ratings
from palate.evaluate.pictures import moves, rated_models
from palate.evaluate.verdict import Verdict
from palate.web.ballot import gpu
from palate.web.ballot.app import api_route, read_body
from palate.web.ballot.people import person_of, sign_in_required
from palate.web.ballot.render import chat, markdown, template
from palate.web.voting.ballot import EvaluateBallot, Try
from palate.web.voting.best import closed
from palate.web.voting.words import Line, headlines, is_decided, say, voters

MOST_PROMPT = 8000  # characters of a prompt to try
MOST_BYTES = 16 * MOST_PROMPT  # of a request with one
EXAMPLES = 3  # shown for each model
COOKIE_SECONDS = 365 * 86_400
Example = dict[str, str]  # prompt, base, tuned → HTML


def routes(ballot: EvaluateBallot) -> list[Route]:
    """Return the routes that only the evaluate Space has."""
    return [
        api_route("/api/stop", ballot, lambda _, person, body: {
            "link": f"/verdict?key={ballot.stop(person)}"
        }),
        _stopped_route("/verdict", ballot, lambda _, query: page(ballot, query)),
        _stopped_route("/verdict.json", ballot, lambda _, query: figures(ballot)),
        _stopped_route("/try", ballot, lambda request, query: try_page(ballot, request, query)),
        _trying_route("/try/answer", ballot, answer),
        _trying_route("/try/choose", ballot, choose),
    ]  # fmt: skip


def _stopped_route(
    path: str, ballot: EvaluateBallot, answer: Callable[[Request, str], Response]
) -> Route:
    """Return a GET route for people who have stopped voting, and for the owner's link.

    Opening it ends the voting of a person who is signed in; the owner's link, which also opens it
    before anybody stops, ends that of the browser.
    """

    def endpoint(request: Request) -> Response:
        key = request.query_params.get("key", "")
        if not ballot.opens(key):
            return HTMLResponse(template("not-yet.html").render(say=say), 403)
        if person := person_of(request):
            ballot.stop(person)
        response = answer(request, f"?key={key}")
        if ballot.is_owners(key):
            hosted = sign_in_required()  # in a frame of the Hub's page, which is another site
            response.set_cookie(
                ballot.looked,
                "1",
                max_age=COOKIE_SECONDS,
                httponly=True,
                secure=hosted,
                samesite="none" if hosted else "lax",
            )
        return response

    return Route(path, endpoint)


def _trying_route(
    path: str,
    ballot: EvaluateBallot,
    call: Callable[[EvaluateBallot, Request, dict[str, object]], Response],
) -> Route:
    """Return a POST route for those whom the try page opens for; the body is a JSON object."""

    async def endpoint(request: Request) -> Response:
        if request.headers.get("content-type", "").partition(";")[0] != "application/json":
            return JSONResponse({"error": "expected application/json"}, 415)
        key = request.query_params.get("key", "")
        if not ballot.opens(key):
            return JSONResponse({"error": "This page is for people who have stopped voting."}, 403)
        person = await run_in_threadpool(person_of, request)
        with ballot.budgets.request(person.subject if person else key):
            return await counted(request)

    async def counted(request: Request) -> Response:
        content = await read_body(request, MOST_BYTES)
        if content is None:
            return JSONResponse({"error": f"expected at most {MOST_BYTES} bytes"}, 413)
        try:
            body = json.loads(content)
            if not isinstance(body, dict):
                raise ValueError("expected a JSON object")
            return await run_in_threadpool(call, ballot, request, body)
        except (ValueError, RecursionError) as error:
            return JSONResponse({"error": str(error)[:300]}, 400)

    return Route(path, endpoint, methods=["POST"])


@dataclass(frozen=True)
class Step:
    """What to do next, in words, and the link to it."""

    words: Line
    name: Line
    link: str


def next_step(ballot: EvaluateBallot, v: Verdict | None) -> Step:
    """Return what a verdict leaves to do."""
    project = f"{hub.endpoint()}/datasets/{ballot.project_id}"
    parts = (v, *v.others) if v else ()
    if v:  # in several aspects, what is left in the first one that is not decided
        v = next((part for part in parts if not is_decided(part)), v)
    if v is None or (not is_decided(v) and ballot.unvoted()):
        return Step(say("v_next_vote"), say("v_go_vote"), "/")
    if v.decision == "open":
        return Step(say("v_next_prompts"), say("v_go_project"), project)
    if not is_decided(v):
        return Step(say("v_next_other"), say("v_go_vote"), "/")
    if {part.decision for part in parts} == {"better"} and ballot.card:
        return Step(say("v_next_card"), say("v_go_model"), ballot.card)
    return Step(say("v_next_round"), say("v_go_project"), project)


def page(ballot: EvaluateBallot, query: str) -> HTMLResponse:
    """Return the verdict with figures, words and examples."""
    verdict = ballot.verdict()
    return HTMLResponse(
        template("verdict.html").render(
            say=say,
            project=ballot.project_id,
            question=ballot.settings.question,
            v=verdict,
            voters=voters(verdict) if verdict else None,
            ratings=ballot.ratings,
            name=ratings.short_names(ballot.ratings, ballot.project_id).__getitem__,
            plan=ballot.plan() if verdict is None else "",
            owners=ballot.is_owners(query.removeprefix("?key=")),
            unvoted=ballot.unvoted(),
            headlines=headlines(verdict) if verdict else [("", say("v_unknown"))],
            next=next_step(ballot, verdict),
            pictures=pictures(ballot, verdict),
            examples=examples(ballot, verdict) if verdict else {},
            card=ballot.card,
            json=f"/verdict.json{query}",
            trying=None if gpu.missing() else f"/try{query}",
        )
    )


def pictures(ballot: EvaluateBallot, verdict: Verdict | None) -> dict[str, str]:
    """Return the SVGs of the page: the rate vote by vote, and the ratings of several models."""
    moved = {"moves": moves(verdict)} if verdict and len(verdict.moves) > 1 else {}
    names = ratings.short_names(ballot.ratings, ballot.project_id)
    rated = [rated_models(one, names.__getitem__) for one in ballot.ratings[:1]]
    return moved | ({"models": rated[0]} if rated else {})


def try_page(ballot: EvaluateBallot, request: Request, query: str) -> HTMLResponse:
    """Return the page on which both models answer side by side.

    Its answers name the models, even where the page hides that, so it is for people who vote no
    more.
    """
    return HTMLResponse(
        template("try.html").render(
            say=say,
            project=ballot.project_id,
            prompt=request.query_params.get("prompt", "").strip()[:MOST_PROMPT] or ballot.example(),
            most=MOST_PROMPT,
            problem=gpu.missing(),
            pairs=[(pair, _pair_words(ballot, pair)) for pair in pairs(ballot)],
            n=ballot.contestants[-1].n,
            verdict=f"/verdict{query}",
        )
    )


def answer(ballot: EvaluateBallot, request: Request, body: dict[str, object]) -> Response:
    """Return both models' answers to a prompt as they come: a line of JSON for each piece."""
    prompt, blind, pair = _prompt(body), body.get("blind") is True, _pair(ballot, body)
    who = ballot.trying_person(request.query_params.get("key", ""), person_of(request))
    if problem := gpu.missing():
        return JSONResponse({"error": problem}, 503)

    def lines() -> Generator[str]:
        yield _line(state="loading")  # models that are not here yet take a while
        try:
            for part in ballot.answers(request, prompt, who=who, blind=blind, pair=pair):
                yield _line(**_said(part))
        except PalateError as error:
            yield _line(error=str(error))

    headers = {"cache-control": "no-store", "x-accel-buffering": "no"}
    return StreamingResponse(closed(lines()), media_type="application/x-ndjson", headers=headers)


def _said(part: tuple[int, str | int] | Try) -> dict[str, object]:
    """Return what the page learns of a part of a try."""
    if isinstance(part, Try):
        names = [ratings.name(m) if BEST_OF in m.revision else m.repo for m in part.sides]
        texts = [markdown(text) for text in part.texts]
        return {"names": names, "html": texts, "ticket": part.ticket}
    side, text = part
    return {"side": side, "text": text} if isinstance(text, str) else {"written": text}


def pairs(ballot: EvaluateBallot) -> list[list[int]]:
    """Return which contestants may be tried against each other."""
    return [list(pair) for pair in combinations(range(len(ballot.contestants)), 2)]


def _pair_words(ballot: EvaluateBallot, pair: Sequence[int]) -> Line:
    names = [say("v_base"), say("v_tuned"), say("try_best", n=ballot.contestants[-1].n)]
    return say("try_and", a=names[pair[0]], b=names[pair[1]])


def choose(ballot: EvaluateBallot, request: Request, body: dict[str, object]) -> Response:
    """Keep which of two answers the visitor found better, and with their consent the prompt."""
    better, ticket, keep = body.get("better"), body.get("ticket"), body.get("keep")
    if (
        not isinstance(better, int)
        or better not in (0, 1)
        or not isinstance(ticket, str)
        or not isinstance(keep, bool)
    ):
        raise ValueError("expected better as 0 or 1, ticket as text, keep as true or false")
    key = request.query_params.get("key", "")
    ballot.choose(key, person_of(request), ticket, _prompt(body), better, keep=keep)
    return JSONResponse({})


def _pair(ballot: EvaluateBallot, body: dict[str, object]) -> list[int]:
    for pair in pairs(ballot):
        if pair == body.get("pair", [0, 1]):
            return pair
    raise ValueError(f"expected pair as one of {pairs(ballot)}")


def _prompt(body: dict[str, object]) -> str:
    text = body.get("prompt")
    if not isinstance(text, str) or not text.strip() or len(text) > MOST_PROMPT:
        raise ValueError(f"expected a prompt of at most {MOST_PROMPT:,} characters")
    return text.encode("utf-8", "replace").decode().strip()  # no half characters


def _line(**content: object) -> str:
    return json.dumps(content) + "\n"


def figures(ballot: EvaluateBallot) -> Response:
    """Return the verdict as JSON; null before the first vote."""
    content = ratings.figures(v, ballot.ratings) if (v := ballot.verdict()) else None
    text = json.dumps(content, indent=2, ensure_ascii=False)
    return Response(text, media_type="application/json")


def examples(ballot: EvaluateBallot, v: Verdict) -> dict[str, list[Example]]:
    """Return the clearest votes for tuned and for base, as safe HTML; no prompt occurs twice."""
    model = {c.id: model_of(c) for c in ballot.texts()}
    text = {c.id: c.text for c in ballot.texts()}
    prompts = ballot.prompts()
    shown: dict[str, list[Example]] = {"tuned": [], "base": []}
    for e in sorted(ballot.standing(), key=_clearness):
        if e.chosen is None or e.chosen not in model or e.prompt_id not in prompts:
            continue
        if e.aspect != v.aspect:
            continue
        other = e.right if e.chosen == e.left else e.left
        if {model[e.chosen], model.get(other)} != {v.base, v.tuned}:
            continue
        winner, loser = ("tuned", "base") if model[e.chosen] == v.tuned else ("base", "tuned")
        example = {
            "prompt": chat(prompts[e.prompt_id].prompt),
            winner: markdown(text[e.chosen]),
            loser: markdown(text[other]),
        }
        known = [x["prompt"] for x in shown[winner]]
        if len(known) < EXAMPLES and example["prompt"] not in known:
            shown[winner].append(example)
    return shown


def _clearness(e: Event) -> tuple[int, str]:
    return -(e.strength or 0), e.event_id
