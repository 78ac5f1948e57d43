"""One request: its parts, checked; and the table of which function answers it."""

import base64
import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import parse_qs, urlencode

from starlette.requests import Request
from starlette.responses import JSONResponse

from palate.localhub.accounts import User
from palate.localhub.errors import HubError

if TYPE_CHECKING:
    from palate.localhub.app import Hub
    from palate.localhub.repos import Repo

T = TypeVar("T")
KINDS = {"models": "model", "datasets": "dataset", "spaces": "space"}
MAX_BODY = 512 * 1024 * 1024  # bytes; larger files go through LFS, which streams
MAX_FOREIGN = 1024 * 1024  # bytes of somebody who has not said who they are


class Body:
    """A JSON object from a client; a field that is missing or of another type is a 400."""

    def __init__(self, value: object):
        if not isinstance(value, dict):
            raise HubError(400, f"Expected a JSON object, found {type(value).__name__}")
        self.value = value

    @classmethod
    def parse(cls, raw: bytes) -> "Body":
        try:
            value = json.loads(raw or b"{}", parse_constant=_no_constant)
            if b"\\u" in raw:  # an escaped half of a surrogate pair is text that cannot be stored
                json.dumps(value, ensure_ascii=False).encode()
        except (ValueError, RecursionError) as e:
            raise HubError(400, f"Malformed JSON: {e}") from None
        return cls(value)

    def _field(self, key: str, kind: type[T], default: object) -> T:
        value = self.value.get(key)
        if value is None and default is not ...:
            return default  # ty: ignore[invalid-explicit-return]
        if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
            raise HubError(400, f'"{key}" is required, as {kind.__name__}, found {value!r:.80}')
        return value

    def text(self, key: str, default: object = ...) -> str:
        return self._field(key, str, default)

    def integer(self, key: str, default: object = ...) -> int:
        value = self._field(key, int, default)
        if value is not None and abs(value) >= 2**63:
            raise HubError(400, f'"{key}" is too large a number')
        return value

    def flag(self, key: str) -> bool:
        return self._field(key, bool, False)

    def objects(self, key: str, default: object = ...) -> list["Body"]:
        return [Body(item) for item in self._field(key, list, default)]

    def texts(self, key: str, default: object = ...) -> list[str]:
        values = self._field(key, list, default)
        if not all(isinstance(v, str) for v in values):
            raise HubError(400, f'"{key}" has to be a list of texts')
        return values

    def mapping(self, key: str) -> dict[str, str]:
        """A JSON object of texts (numbers become text), {} where there is none."""
        pairs = self._field(key, dict, {})
        if not all(isinstance(v, str | int | float) for v in pairs.values()):
            raise HubError(400, f'"{key}" has to map names to texts')
        return {k: str(v) for k, v in pairs.items()}


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


class Call:
    """A request on its way through a handler.

    `path` is the address as the router understood it, `params` are the parts that the route's
    pattern names; `base` is the Hub's address as the client wrote it; `body` is empty for handlers
    that stream.
    """

    def __init__(self, hub: "Hub", request: Request, path: str, params: dict[str, str], base: str):
        self.hub, self.request, self.params, self.base = hub, request, params, base
        self.path = path
        self.method, self.headers = request.method, request.headers
        self.query = parse_qs(request.scope["query_string"].decode("latin-1"), True)
        self.body = b""
        self.access = ""  # the token that the request carries
        self.user = self._authenticate()

    def _authenticate(self) -> User | None:
        scheme, _, token = self.headers.get("authorization", "").partition(" ")
        if scheme.lower() == "basic":  # git sends a name and the token as password
            try:
                token = base64.b64decode(token, validate=True).decode().partition(":")[2]
            except ValueError:
                token = "?"
        token = token.strip()
        self.access = token
        if self.path.startswith("/oauth/"):  # apps have credentials of their own there
            token = ""
        if token:
            user = self.hub.accounts.with_token(token)
            if user is None:
                raise HubError(401, "Invalid credentials in Authorization header")
            return user
        # a browser's cookie opens what is looked at, never what is changed
        if self.method in ("GET", "HEAD") and not self.path.startswith("/api/"):
            return self.hub.session_user(self.request.cookies)
        return None

    def need_write_token(self) -> None:
        if self.user and self.user.role != "write":
            message = "This token is for reading: use one that may write, from the Hub's users.json"
            raise HubError(403, message)

    async def receive(self) -> bytes:
        """The whole body; `HubError` 413 before more of it is kept than this caller may send."""
        limit = MAX_BODY if self.user else MAX_FOREIGN
        hint = f"A request may have {limit} bytes: send large files by LFS, with a token"
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
        """A field of a form, whether it came as JSON or URL-encoded."""
        if "json" in self.headers.get("content-type", ""):
            value = self.json.value.get(key, [])
            return [str(v) for v in (value if isinstance(value, list) else [value])]
        return parse_qs(self.body.decode("utf-8", "replace"), True).get(key, [])

    def arg(self, key: str, default: str = "") -> str:
        return self.query.get(key, [default])[0]

    def flag(self, key: str) -> bool:
        return self.arg(key).lower() in ("1", "true")

    def number(self, key: str, default: int) -> int:
        value = self.arg(key) or str(default)
        if not re.fullmatch(r"\d{1,9}", value):
            raise HubError(400, f'"{key}" has to be a whole number, found {value[:40]!r}')
        return int(value)

    def many(self, key: str) -> list[str]:
        return self.query.get(key, []) + self.query.get(f"{key}[]", [])

    def need_user(self) -> User:
        if self.user is None:
            raise HubError(401, "Invalid username or password.")
        return self.user

    def repo(self, write: bool = False) -> "Repo":
        """The repo that the address names, if the caller may read (or write) it."""
        p = self.params
        if write:
            self.need_write_token()
        return self.hub.repos.find(KINDS[p["kind"]], p["ns"], p["name"], self.user, write)

    def page(self, items: list, size: int = 1000, key: str = "cursor") -> JSONResponse:
        """One page of `items`, with the address of the next one as clients expect it."""
        size = max(1, min(self.number("limit", size), size))
        start = self.number(key, 0) * (size if key == "p" else 1)
        headers = {}
        if start + size < len(items):
            following = start // size + 1 if key == "p" else start + size
            query = urlencode({**self.query, key: [str(following)]}, doseq=True)
            path = self.request.scope["raw_path"].decode("latin-1")
            headers["Link"] = f'<{self.base}{path}?{query}>; rel="next"'
        return JSONResponse(items[start : start + size], headers=headers)


Handler = Callable[[Call], object]


@dataclass(frozen=True)
class Route:
    """`reads`: it changes nothing, so a token for reading may ask for it."""

    method: str
    pattern: list[str]
    handler: Handler
    reads: bool


class Router:
    """Finds a handler by method and by the segments of the path.

    In a pattern `{name}` stands for one segment, a last `{name...}` for the rest, `{kind}` for
    models, datasets or spaces. Segments are split before they are decoded, because clients send a
    revision such as refs/pr/1 as one segment with %2F in it.
    """

    def __init__(self) -> None:
        self.routes: list[Route] = []

    def route(
        self, methods: str, *patterns: str, reads: bool = False
    ) -> Callable[[Handler], Handler]:
        def register(handler: Handler) -> Handler:
            for method in methods.split():
                for pattern in patterns:
                    parts = pattern.strip("/").split("/")
                    self.routes.append(Route(method, parts, handler, reads or method == "GET"))
            return handler

        return register

    def find(self, method: str, segments: list[str]) -> tuple[Route, dict[str, str]]:
        method = "GET" if method == "HEAD" else method
        others = False
        for route in self.routes:
            params = _match(route.pattern, segments)
            if params is not None and route.method == method:
                return route, params
            others |= params is not None
        raise HubError(405 if others else 404, "Method not allowed" if others else "Not found")


def _match(pattern: list[str], segments: list[str]) -> dict[str, str] | None:
    params = {}
    for i, part in enumerate(pattern):
        if part.endswith("...}"):
            params[part[1:-4]] = "/".join(segments[i:]).strip("/")
            return params
        if i >= len(segments) or (part == "{kind}" and segments[i] not in KINDS):
            return None
        if part.startswith("{"):
            params[part[1:-1]] = segments[i]
        elif part != segments[i]:
            return None
    return params if len(pattern) == len(segments) else None


router = Router()
