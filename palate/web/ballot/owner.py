"""The owner's page: how far the labelling is, and how people label."""

import json
from pathlib import Path
from typing import Any

from palate.label import agreement, agreement_text
from palate.label.pictures import labelling_pictures
from palate.web.ballot import argilla_pages

HERE = Path(__file__).parent


def figures(ballot: Any, link: str) -> Any:
    """Return the report as JSON."""
    from starlette.responses import Response

    text = json.dumps(_report(ballot).to_json(), indent=2, ensure_ascii=False)
    return Response(text, media_type="application/json")


def page(ballot: Any, link: str) -> Any:
    """Return the report as a page with pictures; names are shown here and nowhere else."""
    from starlette.responses import HTMLResponse

    report = _report(ballot)
    names = ballot.names()
    asked, total = ballot.progress()
    return HTMLResponse(
        template("owner.html").render(
            project=ballot.project_id,
            question=ballot.question,
            report=report,
            names={p.annotator: names.get(p.annotator, p.annotator) for p in report.people},
            sentences=agreement_text.sentences(report, names),
            pictures=labelling_pictures(report, names),
            problem=ballot.problem(),
            asked=asked,
            total=total,
            json=f"/owner.json{link}",
            argilla=argilla_pages.link(ballot),
            waiting=len(ballot.publisher.waiting()),
        )
    )


def closed(sign_in: bool) -> str:
    """Return the page that says how to get in."""
    return template("closed.html").render(sign_in=sign_in)


def _report(ballot: Any) -> agreement.Report:
    return agreement.report(ballot.events(), ballot.texts())


def template(name: str) -> Any:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    folder = FileSystemLoader(HERE / "templates")
    return Environment(loader=folder, undefined=StrictUndefined, autoescape=True).get_template(name)
