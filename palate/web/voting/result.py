"""The verdict page, for people who have stopped voting: it cannot influence their votes."""

import json
import secrets
from collections.abc import Callable
from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from palate.core import hub
from palate.core.errors import PalateError
from palate.core.schema import Event, model_of
from palate.evaluate import ratings
from palate.evaluate.pictures import moves
from palate.evaluate.verdict import Verdict
from palate.web.ballot import gpu
from palate.web.ballot.app import api_route
from palate.web.ballot.people import person_of, sign_in_required
from palate.web.ballot.render import chat, markdown, template
from palate.web.voting.ballot import EvaluateBallot

MOST_PROMPT = 8000  # characters of a prompt to try
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
            return HTMLResponse(template("not-yet.html").render(), 403)
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


@dataclass(frozen=True)
class Step:
    """What to do next, in words, and the link to it."""

    words: str
    name: str
    link: str


def is_decided(v: Verdict) -> bool:
    """Tell whether the verdict's words say so: votes for one side alone decide nothing."""
    return v.meaning().startswith("Decided")


def headline(v: Verdict) -> str:
    """Return the answer to "Is the tuned model better?", and to whom."""
    if not is_decided(v):
        return "Not known yet."
    if v.decision == "no difference":
        return f"No: to {v.voters}, neither is meaningfully better."
    return f"Yes, to {v.voters}." if v.decision == "better" else f"No: to {v.voters}, base is."


def next_step(ballot: EvaluateBallot, v: Verdict | None) -> Step:
    """Return what a verdict leaves to do."""
    project = f"{hub.endpoint()}/datasets/{ballot.project_id}"
    if v is None or (not is_decided(v) and ballot.unvoted()):
        words = (
            "People who have not seen this page can vote. Send them the link to the voting page."
        )
        return Step(words, "Voting page", "/")
    if v.decision == "open":
        return Step(
            "Add prompts as above, then vote on their answers.", "Open the project", project
        )
    if not is_decided(v):
        return Step("Ask somebody else to vote on the same pairs.", "Voting page", "/")
    if v.decision == "better" and ballot.card:
        return Step("The model's card says how to use it.", "Open the tuned model", ballot.card)
    words = "To go on: label more pairs or choose another recipe, then train again."
    return Step(words, "Open the project", project)


def page(ballot: EvaluateBallot, query: str) -> HTMLResponse:
    """Return the verdict with figures, words and examples."""
    verdict = ballot.verdict()
    return HTMLResponse(
        template("verdict.html").render(
            project=ballot.project_id,
            question=ballot.settings.question,
            v=verdict,
            ratings=ballot.ratings,
            name=ratings.name,
            plan=ballot.plan() if verdict is None else "",
            owners=ballot.is_owners(query.removeprefix("?key=")),
            unvoted=ballot.unvoted(),
            headline=headline(verdict) if verdict else "Not known yet.",
            next=next_step(ballot, verdict),
            pictures={"moves": moves(verdict)} if verdict and len(verdict.moves) > 1 else {},
            examples=examples(ballot, verdict) if verdict else {},
            card=ballot.card,
            json=f"/verdict.json{query}",
            trying=None if gpu.missing() else f"/try{query}",
        )
    )


def try_page(ballot: EvaluateBallot, request: Request, query: str) -> HTMLResponse:
    """Return base and tuned model's answers to the prompt in the address, side by side.

    Even with `blind`, which hides the names and mixes the sides, they can be looked up on the page,
    so it is for people who vote no more.
    """
    text = request.query_params.get("prompt", "").strip()[:MOST_PROMPT]
    answers, problem = {}, gpu.missing()
    if text and not problem:
        try:
            answers = ballot.answers(request, text)
        except PalateError as error:
            problem = str(error)
    shown = [(name, markdown(answer)) for name, answer in answers.items()]
    if blind := "blind" in request.query_params:
        secrets.SystemRandom().shuffle(shown)
    return HTMLResponse(
        template("try.html").render(
            project=ballot.project_id,
            prompt=text or ballot.example(),
            answers=shown,
            blind=blind,
            problem=problem,
            key=query.removeprefix("?key="),
            verdict=f"/verdict{query}",
        )
    )


def figures(ballot: EvaluateBallot) -> Response:
    """Return the verdict as JSON; null before the first vote."""
    verdict = ballot.verdict()
    content = ratings.figures(verdict, ballot.ratings) if verdict else None
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
