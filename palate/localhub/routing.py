"""The table of which function answers which request."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from palate.localhub.errors import HubError

KINDS = {"models": "model", "datasets": "dataset", "spaces": "space"}
Handler = TypeVar("Handler", bound=Callable[..., object])


@dataclass(frozen=True)
class Route(Generic[Handler]):
    """A method and a pattern; `reads` means that it changes nothing, so a read token suffices."""

    method: str
    pattern: list[str]
    handler: Handler
    reads: bool


class Router(Generic[Handler]):
    """Finds a handler by method and by the segments of the path.

    In a pattern `{name}` matches one segment, a final `{name...}` the rest, and `{kind}` models,
    datasets or spaces. Segments are split before they are decoded, because clients send a revision
    such as refs/pr/1 as one segment with %2F in it.
    """

    def __init__(self) -> None:
        self.routes: list[Route[Handler]] = []

    def route(
        self, methods: str, *patterns: str, reads: bool = False
    ) -> Callable[[Handler], Handler]:
        """Decorate a handler for each of the space-separated `methods` and each pattern."""

        def register(handler: Handler) -> Handler:
            for method in methods.split():
                for pattern in patterns:
                    parts = pattern.strip("/").split("/")
                    self.routes.append(Route(method, parts, handler, reads or method == "GET"))
            return handler

        return register

    def find(self, method: str, segments: list[str]) -> tuple[Route[Handler], dict[str, str]]:
        """Return the first route that matches, and the parts that its pattern names."""
        method = "GET" if method == "HEAD" else method
        other_method = False
        for route in self.routes:
            params = _match(route.pattern, segments)
            if params is not None and route.method == method:
                return route, params
            other_method |= params is not None
        if other_method:
            raise HubError(405, "Method not allowed")
        raise HubError(404, "Not found")


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
