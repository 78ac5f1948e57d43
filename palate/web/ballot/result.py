"""The verdict's page, for those who have stopped voting: nobody votes toward what they see."""

import json
from typing import Any

from palate.core import hub
from palate.core.schema import Event, model_of
from palate.evaluate import ratings
from palate.evaluate.pictures import verdict_pictures
from palate.evaluate.verdict import Verdict, plan
from palate.web.ballot.owner import template
from palate.web.ballot.render import markdown

SHOWN = 3  # examples of either kind


def page(ballot: Any, link: str) -> Any:
    """Return the verdict with pictures, words and examples."""
    from starlette.responses import HTMLResponse

    v = ballot.verdict()
    return HTMLResponse(
        template("verdict.html").render(
            project=ballot.project_id,
            question=ballot.question,
            v=v,
            ratings=ballot.ratings,
            plan=plan(),
            pictures=verdict_pictures(v) if v else {},
            examples=examples(ballot, v) if v else {},
            card=f"{hub.endpoint()}/{ballot.model_repo}",
            json=f"/verdict.json{link}",
        )
    )


def figures(ballot: Any, link: str) -> Any:
    """Return the verdict as JSON; null before the first vote."""
    from starlette.responses import Response

    v = ballot.verdict()
    found = ratings.figures(v, ballot.ratings) if v else None
    text = json.dumps(found, indent=2, ensure_ascii=False)
    return Response(text, media_type="application/json")


def closed(sign_in: bool) -> str:
    """Return the page that says how to get to the verdict."""
    return template("not-yet.html").render(sign_in=sign_in)


def examples(ballot: Any, v: Verdict) -> dict[str, list[dict[str, str]]]:
    """Return the clearest votes for tuned and for base, as harmless HTML with the models named."""
    side = {c.id: model_of(c) for c in ballot.texts()}
    text = {c.id: c.text for c in ballot.texts()}
    prompts = ballot.prompts()
    found: dict[str, list[dict[str, str]]] = {"tuned": [], "base": []}
    votes = [e for e in ballot.standing() if e.kind == "label" and e.chosen in side]
    for e in sorted(votes, key=_clearness):
        other = e.right if e.chosen == e.left else e.left
        if e.prompt_id not in prompts or {side[e.chosen], side.get(other)} != {v.base, v.tuned}:
            continue
        who = "tuned" if side[e.chosen] == v.tuned else "base"
        shown = {
            "prompt": markdown(prompts[e.prompt_id].text),
            who: markdown(text[e.chosen]),
            "base" if who == "tuned" else "tuned": markdown(text[other]),
        }
        if len(found[who]) < SHOWN and shown["prompt"] not in [x["prompt"] for x in found[who]]:
            found[who].append(shown)
    return found


def _clearness(e: Event) -> tuple[int, str]:
    return -(e.strength or 0), e.event_id
