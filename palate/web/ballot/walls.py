"""Middlewares of both Spaces: what is served, to which sites, and under which policy."""

import os
import re
from base64 import b64encode
from hashlib import sha256
from urllib.parse import SplitResult, urlsplit

from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

ARGILLA = "/argilla/"  # its own pages, for owners
FOREIGN = " 'unsafe-inline' 'unsafe-eval'"  # what they need
LOOPBACK = ("127.0.0.1", "localhost", "::1")
# what the page asks of Gradio
LONGEST_PATH = 250  # which a file can have
SERVED = re.compile(r"/|/theme\.css|/favicon\.ico|/(assets|static)/[\w./@+-]+")
INLINE_SCRIPT = re.compile(rb"<script(?![^>]*\ssrc=)[^>]*>(.*?)</script>", re.DOTALL)
# Gradio needs inline styles; nothing comes from another site.
POLICY = (
    "default-src 'self'; script-src 'self'{scripts};"
    " style-src 'self' 'unsafe-inline'; img-src 'self' data:; font-src 'self' data:;"
    " connect-src 'self'; object-src 'none'; base-uri 'self'; form-action 'self' {provider};"
    " frame-ancestors 'self' https://huggingface.co"
)


class GradioPage:
    """Gradio's page, and no other route of Gradio's: no uploads, queues or streams."""

    def __init__(self, gradio: ASGIApp):
        self.gradio = gradio

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        allowed = scope["type"] == "http" and scope["method"] in ("GET", "HEAD")
        path = scope["path"]
        if not allowed or len(path) > LONGEST_PATH or not SERVED.fullmatch(path):
            await PlainTextResponse("Not found", 404)(scope, receive, send)
        else:
            await self.gradio(scope, receive, send)


def policy(scripts: str = "") -> tuple[bytes, bytes]:
    """Return the content security policy; `scripts` are the other scripts that it allows."""
    provider = os.environ.get("OPENID_PROVIDER_URL", "https://huggingface.co")
    return b"content-security-policy", POLICY.format(scripts=scripts, provider=provider).encode()


class Walls:
    """Middleware that refuses requests which pages of other sites make."""

    def __init__(self, app: ASGIApp):
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and (refusal := _refusal(Request(scope))):
            await refusal(scope, receive, send)
        else:
            await self.app(scope, receive, send)


def _refusal(request: Request) -> Response | None:
    host = request.headers.get("host", "")
    hosted = os.environ.get("SPACE_HOST") or LOOPBACK[0]
    name = _parts(f"//{host}").hostname
    # a foreign name that leads to this machine: DNS rebinding
    if request.scope["server"][0] in LOOPBACK and name not in (*LOOPBACK, hosted):
        return PlainTextResponse("Open this page as http://127.0.0.1 or http://localhost.", 421)
    if request.method in ("GET", "HEAD"):
        return None
    site, origin = request.headers.get("sec-fetch-site"), request.headers.get("origin")
    # old browsers send no Sec-Fetch-Site, and clients that are no browsers neither of the two
    own = not origin or _parts(origin).netloc in (host, hosted)
    same = site in ("same-origin", "none") if site else own
    return None if same else JSONResponse({"error": "cross-site requests are refused"}, 403)


def _parts(address: str) -> SplitResult:
    """Return the parts of an address, none of one that is no address."""
    try:
        return urlsplit(address)
    except ValueError:
        return urlsplit("")


class SafeHeaders:
    """Middleware that adds the security headers, and lets static files be revalidated."""

    def __init__(self, app: ASGIApp):
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        path = scope["path"]
        page: list[Message] = []  # Gradio's, held back until its scripts are known

        async def add(message: Message) -> None:
            if message["type"] == "http.response.start":
                message = {**message, "headers": [*message["headers"], *_headers(path)]}
                if path == "/":
                    page.append(message)
                    return
                message["headers"].append(policy(FOREIGN if path.startswith(ARGILLA) else ""))
            elif page:
                page.append(message)
                if message.get("more_body"):
                    return
                body = b"".join(m.get("body", b"") for m in page)
                page[0]["headers"].append(policy(_hashes(body)))
                for held in page[:-1]:
                    await send(held)
            await send(message)

        await self.app(scope, receive, add)


def _headers(path: str) -> list[tuple[bytes, bytes]]:
    headers = [(b"referrer-policy", b"no-referrer"), (b"x-content-type-options", b"nosniff")]
    if path.startswith("/ballot/"):
        headers.append((b"cache-control", b"no-cache"))  # asks whether it is the same
    return headers


def _hashes(page: bytes) -> str:
    """Return the sources that allow exactly the inline scripts of a page."""
    digests = [b64encode(sha256(s).digest()).decode() for s in INLINE_SCRIPT.findall(page)]
    return "".join(f" 'sha256-{digest}'" for digest in digests)
