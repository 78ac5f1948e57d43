"""One request, its parts checked."""

import re
from collections.abc import Callable, Sequence
from urllib.parse import parse_qs, urlencode

from starlette.requests import Request
from starlette.responses import JSONResponse

from palate.localhub.accounts import User
from palate.localhub.body import Body
from palate.localhub.errors import HubError
from palate.localhub.hub import Hub
from palate.localhub.repos import Repo
from palate.localhub.routing import KINDS, Router

MAX_BODY = 512 * 1024 * 1024  # bytes; larger files go through LFS, which streams
MAX_ANONYMOUS_BODY = 1024 * 1024  # bytes, without a token


class Call:
    """A request on its way through a handler.

    `path` is the decoded path, `params` the parts that the route's pattern names; `base` is the
    Hub's address as the client wrote it; `body` is empty for handlers that stream.
    """

    def __init__(self, hub: Hub, request: Request, path: str, params: dict[str, str], base: str):
        self.hub, self.request, self.params, self.base = hub, request, params, base
        self.path = path
        self.method, self.headers = request.method, request.headers
        self.query = parse_qs(request.scope["query_string"].decode("latin-1"), True)
        self.body = b""
        self.access = self.headers.get("authorization", "").partition(" ")[2].strip()  # the token
        self.user = self._authenticate()

    def _authenticate(self) -> User | None:
        if self.access and not self.path.startswith("/oauth/"):  # where apps have their own
            user = self.hub.accounts.with_token(self.access)
            if user is None:
                raise HubError(401, "Invalid credentials in Authorization header")
            return user
        # a browser's cookie lets it look, never change
        if self.method in ("GET", "HEAD") and not self.path.startswith("/api/"):
            return self.hub.session_user(self.request.cookies)
        return None

    def need_write_token(self) -> None:
        if self.user and self.user.role != "write":
            message = "This is a read token: use one with write access, from the Hub's users.json"
            raise HubError(403, message)

    async def receive(self) -> bytes:
        """Return the whole body; `HubError` 413 once it exceeds the caller's limit."""
        limit = MAX_BODY if self.user else MAX_ANONYMOUS_BODY
        hint = f"A request may have at most {limit} bytes: send large files by LFS, with a token"
        if int(self.headers.get("content-length", 0)) > limit:
            raise HubError(413, hint)
        chunks, size = [], 0
        async for chunk in self.request.stream():
            size += len(chunk)
            if size > limit:
                raise HubError(413, hint)
            chunks.append(chunk)
        return b"".join(chunks)

    @property
    def json(self) -> Body:
        return Body.parse(self.body)

    def form(self, key: str) -> list[str]:
        """Return a field of a form, which came as JSON or URL-encoded."""
        if "json" in self.headers.get("content-type", ""):
            value = self.json.value.get(key, [])
            return [str(item) for item in (value if isinstance(value, list) else [value])]
        return parse_qs(self.body.decode("utf-8", "replace"), True).get(key, [])

    def arg(self, key: str, default: str = "") -> str:
        return self.query.get(key, [default])[0]

    def flag(self, key: str) -> bool:
        return self.arg(key).lower() in ("1", "true")

    def number(self, key: str, default: int) -> int:
        value = self.arg(key) or str(default)
        if not re.fullmatch(r"\d{1,9}", value):
            raise HubError(400, f'"{key}" must be a whole number, got {value[:40]!r}')
        return int(value)

    def many(self, key: str) -> list[str]:
        return self.query.get(key, []) + self.query.get(f"{key}[]", [])

    def need_user(self) -> User:
        if self.user is None:
            raise HubError(401, "Invalid username or password.")
        return self.user

    def repo(self, write: bool = False) -> Repo:
        """Return the repo in the path, if the caller may read (or write) it."""
        if write:
            self.need_write_token()
        kind, namespace, name = (self.params[key] for key in ("kind", "ns", "name"))
        return self.hub.repos.find(KINDS[kind], namespace, name, self.user, write)

    def page(self, items: Sequence[object], size: int = 1000, key: str = "cursor") -> JSONResponse:
        """Return one page of `items`, with the address of the next in the form clients expect."""
        size = max(1, min(self.number("limit", size), size))
        start = self.number(key, 0) * (size if key == "p" else 1)
        headers = {}
        if start + size < len(items):
            following = start // size + 1 if key == "p" else start + size
            query = urlencode({**self.query, key: [str(following)]}, doseq=True)
            path = self.request.scope["raw_path"].decode("latin-1")
            headers["Link"] = f'<{self.base}{path}?{query}>; rel="next"'
        return JSONResponse(list(items[start : start + size]), headers=headers)


router: Router[Callable[[Call], object]] = Router()
