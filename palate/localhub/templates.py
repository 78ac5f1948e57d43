"""HTML pages from the templates of this package."""

import time
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import quote

import jinja2
from starlette.responses import HTMLResponse

from palate.localhub import render
from palate.localhub.accounts import User
from palate.localhub.repos import Repo

POLICY = (
    "default-src 'none'; img-src 'self'; style-src 'self' 'unsafe-inline'; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cache-Control": "no-store",
}
_environment = jinja2.Environment(
    loader=jinja2.FileSystemLoader(Path(__file__).parent / "templates"),
    autoescape=True,
    undefined=jinja2.StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


def page(
    template: str, user: User | None, values: dict[str, object], status: int = 200
) -> HTMLResponse:
    """Render a template with `values` and the user who is signed in."""
    html = _environment.get_template(template).render(values, user=user)
    # a lone half of a character, which JSON can name, cannot be sent
    return HTMLResponse(html.encode("utf-8", "replace"), status, HEADERS)


def repo_page(
    user: User | None, template: str, repo: Repo, revision: str, tab: str, **values: object
) -> HTMLResponse:
    """Render a page of a repo, under its head and its tabs."""
    values |= {"repo": repo, "revision": revision, "rev": quote(revision, safe=""), "tab": tab}
    return page(template, user, values)


def _ago(seconds: float) -> str:
    passed = time.time() - seconds
    for unit, length in (("day", 86400), ("hour", 3600), ("minute", 60)):
        if count := int(passed // length):
            return f"{count} {unit}{'s' if count > 1 else ''} ago"
    return "just now"


def _date(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M UTC")


_environment.filters |= {
    "ago": _ago,
    "date": _date,
    "size": render.size,
    "path": quote,
    "segment": lambda text: quote(text, safe=""),
}
