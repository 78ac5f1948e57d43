"""The owner's page: the progress of the labelling, and how people label."""

import json

from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from palate.label import agreement, agreement_text
from palate.label.pictures import labelling_pictures
from palate.web.ballot.app import owner_route
from palate.web.ballot.people import sign_in_required
from palate.web.ballot.render import template
from palate.web.labelling import argilla_pages
from palate.web.labelling.ballot import LabelBallot


def routes(ballot: LabelBallot) -> list[Route]:
    """Return the routes that only the label Space has."""
    pages = [
        owner_route("/owner", ballot, lambda query: page(ballot, query)),
        owner_route("/owner.json", ballot, lambda query: figures(ballot)),
    ]
    if sign_in_required():  # otherwise the owner opens Argilla itself
        pages.append(owner_route("/owner/argilla", ballot, argilla_pages.page))
        pages.append(argilla_pages.proxy(ballot))
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
            problem=ballot.problem(),
            answers=answers,
            total=total,
            json=f"/owner.json{query}",
            argilla=argilla_pages.link(ballot),
            waiting=len(ballot.publisher.waiting()),
        )
    )


def figures(ballot: LabelBallot) -> Response:
    """Return the report as JSON."""
    text = json.dumps(_report(ballot).to_json(), indent=2, ensure_ascii=False)
    return Response(text, media_type="application/json")


def _report(ballot: LabelBallot) -> agreement.Report:
    return agreement.report(ballot.events(), ballot.texts())
