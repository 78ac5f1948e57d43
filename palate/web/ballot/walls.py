"""What is served, to which sites and under which policy; which images a page may show."""

import gzip
import mimetypes
import os
import re
from base64 import b64decode, b64encode
from functools import cache, lru_cache
from hashlib import sha256
from pathlib import Path
from urllib.parse import SplitResult, urlsplit

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from palate.core import hub
from palate.core.hub_errors import readable_errors, retry

ARGILLA = "/argilla/"  # its own pages, for owners
FOREIGN = " 'unsafe-inline' 'unsafe-eval'"  # what they need
LOOPBACK = ("127.0.0.1", "localhost", "::1")
INLINE_SCRIPT = re.compile(rb"<script(?![^>]*\ssrc=)[^>]*>(.*?)</script>", re.DOTALL)
IMAGE_BYTES = 512 * 1024  # in a text
FILE_BYTES = 4 * 1024 * 1024  # in the project's repo
PIXELS = 5000  # of a side: a small file can hold an image that takes the browser's memory
IMAGE_FILE = re.compile(r"(?!/|.*\.\.)[\w ./-]{1,200}\.(png|jpe?g|gif|webp)", re.IGNORECASE)
DATA = re.compile(r"data:image/([\w.+-]+);base64,(.*)", re.DOTALL)
FORMATS = {b"\x89PNG\r\n": "png", b"\xff\xd8\xff": "jpeg", b"GIF8": "gif", b"RIFF": "webp"}
# The pages and KaTeX have inline styles; nothing comes from another site.
POLICY = (
    "default-src 'self'; script-src 'self'{scripts};"
    " style-src 'self' 'unsafe-inline'; img-src 'self' data:; font-src 'self' data:;"
    " connect-src 'self'; object-src 'none'; base-uri 'self'; form-action 'self' {provider};"
    " frame-ancestors 'self' https://huggingface.co"
)


class GradioIcon:
    """Of Gradio's server its icon alone: no page, uploads, queues or streams."""

    def __init__(self, gradio: ASGIApp):
        self.gradio = gradio

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        allowed = scope["type"] == "http" and scope["method"] in ("GET", "HEAD")
        if not allowed or scope["path"] != "/favicon.ico":
            await PlainTextResponse("Not found", 404)(scope, receive, send)
        else:
            await self.gradio(scope, receive, send)


class StaticPages:
    """The files of the pages, read and compressed once: a page takes two dozen of them."""

    def __init__(self, folder: Path):
        self._files = {str(f.relative_to(folder)): f for f in folder.rglob("*") if f.is_file()}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope["path"].removeprefix(scope.get("root_path", ""))  # after that of the mount
        file = self._files.get(path.removeprefix("/"))
        if file is None or scope["type"] != "http" or scope["method"] not in ("GET", "HEAD"):
            await PlainTextResponse("Not found", 404)(scope, receive, send)
            return
        kind, tag, plain, packed = _packed(file)
        asked = Headers(scope=scope)
        headers = {"etag": tag, "vary": "Accept-Encoding"}
        if tag in asked.get("if-none-match", ""):
            await Response(status_code=304, headers=headers)(scope, receive, send)
            return
        content = plain
        if packed and "gzip" in asked.get("accept-encoding", ""):
            content, headers = packed, headers | {"content-encoding": "gzip"}
        await Response(content, media_type=kind, headers=headers)(scope, receive, send)


@cache
def _packed(file: Path) -> tuple[str, str, bytes, bytes | None]:
    """Return a file's type, its tag, its content, and that compressed unless it is already."""
    content = file.read_bytes()
    kind = mimetypes.guess_type(file.name)[0] or "text/plain"
    tag = f'"{sha256(content).hexdigest()[:32]}"'
    return kind, tag, content, None if file.suffix == ".woff2" else gzip.compress(content, mtime=0)


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
    # several names where the Space has a domain of its owner's
    hosted = [name for name in os.environ.get("SPACE_HOST", "").split(",") if name]
    name = _parts(f"//{host}").hostname
    # a foreign name that leads to this machine: DNS rebinding
    if request.scope["server"][0] in LOOPBACK and name not in (*LOOPBACK, *hosted):
        return PlainTextResponse("Open this page as http://127.0.0.1 or http://localhost.", 421)
    if request.method in ("GET", "HEAD"):
        return None
    site, origin = request.headers.get("sec-fetch-site"), request.headers.get("origin")
    # old browsers send no Sec-Fetch-Site, and clients that are no browsers neither of the two
    own = not origin or _parts(origin).netloc in (host, *hosted)
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
        page: list[Message] = []  # the ballot's, held back until its scripts are known

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
    headers = [
        (b"referrer-policy", b"no-referrer"),
        (b"x-content-type-options", b"nosniff"),
        # a page of another site shows no image of the project, which a cookie may open
        (b"cross-origin-resource-policy", b"same-origin"),
    ]
    if path.startswith("/ballot/"):
        headers.append((b"cache-control", b"no-cache"))  # asks whether it is the same
    return headers


def _hashes(page: bytes) -> str:
    """Return the sources that allow exactly the inline scripts of a page."""
    digests = [b64encode(sha256(s).digest()).decode() for s in INLINE_SCRIPT.findall(page)]
    return "".join(f" 'sha256-{digest}'" for digest in digests)


def picture(address: str) -> tuple[str, str]:
    """Return what a page shows of an image's address, and why it shows none.

    It shows data and files of the project's repo. An image on another site would tell that site who
    is reading what.
    """
    if data := DATA.fullmatch(address):
        if len(data[2]) > IMAGE_BYTES * 4 // 3:
            return "", f"Not shown: larger than {IMAGE_BYTES // 1024} KiB."
        try:
            kind = image_kind(b64decode(data[2], validate=True))
        except ValueError:
            kind = None
        return (f"data:image/{kind};base64,{data[2]}", "") if kind else ("", NO_IMAGE)
    path = address.removeprefix("./")
    return (f"/picture/{path}", "") if IMAGE_FILE.fullmatch(path) else ("", "")


def repo_image(project_id: str, revision: str, path: str) -> tuple[bytes, str] | None:
    """Return an image of the project's repo at a commit, and its media type; None if it has none.

    Raises PalateError if the Hub does not answer.
    """
    if not IMAGE_FILE.fullmatch(path):
        return None
    if (_file_size(project_id, revision, path) or FILE_BYTES + 1) > FILE_BYTES:
        return None
    content = hub.fetch(project_id, "dataset", revision, [path])[0].read_bytes()
    kind = image_kind(content)
    return (content, f"image/{kind}") if kind else None


@lru_cache(maxsize=10_000)
def _file_size(project_id: str, revision: str, path: str) -> int | None:
    """Return a file's bytes, asked once, for every person's page wants it; None if it is none."""
    from huggingface_hub.hf_api import RepoFile

    where = {"repo_type": "dataset", "revision": revision}
    with readable_errors(project_id):
        files = retry(lambda: hub.api().get_paths_info(project_id, [path], **where))
    return next((f.size for f in files if isinstance(f, RepoFile)), None)


NO_IMAGE = f"Not shown: only PNG, JPEG, GIF and WebP of at most {PIXELS} pixels a side are."


def image_kind(content: bytes) -> str | None:
    """Return an image's format: png, jpeg, gif or webp; None for others and for huge ones."""
    kind = next((k for start, k in FORMATS.items() if content.startswith(start)), None)
    size = _size(kind, content) if kind else None
    return kind if size and min(size) > 0 and max(size) <= PIXELS else None


def _size(kind: str, content: bytes) -> tuple[int, int] | None:
    """Return an image's width and height as its header gives them."""
    number = lambda at, n, order="big": int.from_bytes(content[at : at + n], order)  # noqa: E731
    if kind == "png":
        return number(16, 4), number(20, 4)
    if kind == "gif":
        return _gif_size(content)
    if kind == "webp":
        if content[8:12] != b"WEBP":
            return None
        if content[12:16] == b"VP8X":
            return number(24, 3, "little") + 1, number(27, 3, "little") + 1
        if content[12:16] == b"VP8L":
            bits = number(21, 4, "little")
            return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
        if content[12:16] != b"VP8 ":
            return None
        return number(26, 2, "little") & 0x3FFF, number(28, 2, "little") & 0x3FFF
    at = 2
    while at + 9 < len(content) and content[at] == 0xFF:
        marker = content[at + 1]
        if marker in JPEG_FRAMES:
            return number(at + 7, 2), number(at + 5, 2)
        if marker in JPEG_ALONE:  # no length follows: what does is not what a browser reads
            return None
        at += 1 if marker == 0xFF else 2 + number(at + 2, 2)  # before a marker may be filling
    return None


JPEG_FRAMES = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}
JPEG_ALONE = {0x00, 0x01, *range(0xD0, 0xDA)}


def _gif_size(content: bytes) -> tuple[int, int] | None:
    """Return the size that browsers take: the screen's, or the first frame's if that is larger."""
    number = lambda at: int.from_bytes(content[at : at + 2], "little")  # noqa: E731
    flags = content[10] if len(content) > 13 else 0
    at = 13 + (3 << (flags & 7) + 1 if flags & 0x80 else 0)
    while at + 9 < len(content) and content[at] == 0x21:  # an extension, in blocks
        at += 2
        while at < len(content) and content[at]:
            at += content[at] + 1
        at += 1
    if content[at : at + 1] != b",":
        return None
    width, height = number(at + 1) + number(at + 5), number(at + 3) + number(at + 7)
    return max(number(6), width), max(number(8), height)


def own_path(target: str) -> str:
    """Return `target` if it is a page of this Space, otherwise the ballot."""
    own = target.startswith("/") and not target.startswith(("//", "/\\")) and target.isprintable()
    return target if own else "/"
