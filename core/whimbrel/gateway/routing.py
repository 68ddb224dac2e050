"""From a method and a path to an endpoint: one dictionary look-up, or few matches of small patterns."""

import re
from collections.abc import Iterable
from urllib.parse import unquote

from whimbrel import errors
from whimbrel.gateway.endpoint import Endpoint, Mount

PLACE = re.compile(r"\{(\w+)(:path)?\}")
MOUNTS: dict[str, Mount] = {"api": "api", "auth": "auth", "stream": "stream"}
USUAL_PREFIX = "/api/v1/"
ALIASES = {"actionexecutions": "executions"}
"""First segments that stand for others."""

UNKNOWN = "The resource could not be found."


class MethodNotAllowed(errors.WhimbrelError):
    """The path exists, and takes other methods: `allowed`."""

    def __init__(self, method: str, allowed: Iterable[str]) -> None:
        self.allowed = tuple(sorted(allowed))
        super().__init__(f"The method {method} is not allowed for this resource.")


class Router:
    """The endpoints of one mount."""

    def __init__(self, endpoints: Iterable[Endpoint]) -> None:
        self._static: dict[str, dict[str, Endpoint]] = {}
        self._patterns: dict[str, list[tuple[re.Pattern[str], dict[str, Endpoint]]]] = {}
        known: dict[str, dict[str, Endpoint]] = {}
        for endpoint in endpoints:
            methods = known.get(endpoint.path)
            if methods is None:
                methods = known[endpoint.path] = {}
                self._add(endpoint.path, methods)
            if endpoint.method in methods:
                raise ValueError(f"{endpoint.method} {endpoint.path} is described twice")
            methods[endpoint.method] = endpoint

    def _add(self, path: str, methods: dict[str, Endpoint]) -> None:
        if "{" not in path:
            self._static[path] = methods
            return
        pattern = PLACE.sub(_group, path)
        first = path.split("/", 2)[1]
        self._patterns.setdefault(first, []).append((re.compile(pattern), methods))

    def match(self, method: str, path: str) -> tuple[Endpoint, dict[str, str]]:
        """Return the endpoint and the path's arguments; `path` is still percent-encoded.

        Raises `NotFound` or `MethodNotAllowed`.
        """
        if len(path) > 1 and path[-1] == "/":
            path = path.rstrip("/") or "/"
        methods = self._static.get(path)
        if methods is not None:
            return _chosen(methods, method), {}
        first, _, rest = path[1:].partition("/")
        if first in ALIASES:
            return self.match(method, f"/{ALIASES[first]}/{rest}")
        for pattern, candidates in self._patterns.get(first, ()):
            found = pattern.fullmatch(path)
            if found is not None:
                args = found.groupdict()
                if "%" in path:
                    args = {name: unquote(value) for name, value in args.items()}
                return _chosen(candidates, method), args
        raise errors.NotFound(UNKNOWN)


def _group(place: re.Match[str]) -> str:
    name, spans = place.groups()
    return f"(?P<{name}>.+)" if spans else f"(?P<{name}>[^/]+)"


def _chosen(methods: dict[str, Endpoint], method: str) -> Endpoint:
    endpoint = methods.get(method)
    if endpoint is None:
        raise MethodNotAllowed(method, methods)
    return endpoint


def split_mount(path: str, listener: Mount | None) -> tuple[Mount, str]:
    """Return the mount and the path below it, with or without `/v1`.

    `listener` is the mount that a listener serves alone; None serves all, told apart by a first segment.
    """
    if listener is None and path.startswith(USUAL_PREFIX):
        return "api", path[len(USUAL_PREFIX) - 1 :]
    if path == "/health":
        return "root", path
    mount = listener
    if mount is None:
        first, _, rest = path[1:].partition("/")
        mount = MOUNTS.get(first)
        if mount is None:
            return "root", path
        path = f"/{rest}"
    if path.startswith("/v1") and (len(path) == 3 or path[3] == "/"):
        path = path[3:] or "/"
    return mount, path
