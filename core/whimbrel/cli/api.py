"""The server, spoken to over HTTP with the standard library alone: quick to import, one connection."""

import base64
import http.client
import json
import ssl
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple
from urllib.parse import quote, urlencode, urlsplit

from whimbrel.cli.failures import Refused, Unreachable
from whimbrel.cli.target import MASK, Target

TIMEOUT_SECONDS = 60.0
# The server sends a heartbeat every 25 seconds; three missing ones mean that it is gone.
STREAM_TIMEOUT_SECONDS = 80.0
EVENT_BYTES_MAX = 64 << 20
SECRET_NAMES = {"token", "key", "password", "private_key", "key_hash"}

Query = Mapping[str, str | int | bool | None]
Debug = Callable[[str], None]


class Answer(NamedTuple):
    """What the server said to a request that succeeded."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def document(self) -> Any:
        """Return the body as JSON; raises Unreachable when it is something else."""
        try:
            return json.loads(self.body) if self.body else None
        except ValueError as error:
            start = self.body[:80].decode("utf-8", "replace")
            raise Unreachable(f"the server's answer is not JSON: {start!r}") from error

    @property
    def total(self) -> int | None:
        """How many there are in all, when the server tells."""
        count = self.headers.get("x-total-count", "")
        return int(count) if count.isdecimal() else None


class Api:
    """The server of a target. Requests share a connection; errors are raised as failures."""

    def __init__(self, target: Target, debug: Debug | None = None) -> None:
        self.target = target
        self._debug = debug
        self._connections: dict[str, http.client.HTTPConnection] = {}
        self._requests = 0

    def get(self, path: str, query: Query | None = None) -> Answer:
        """Return what is at a path of the API."""
        return self.request("GET", self.target.api_url, path, query=query)

    def send(
        self, method: str, path: str, body: object = None, *, query: Query | None = None
    ) -> Answer:
        """Send JSON to a path of the API."""
        data = json.dumps(body).encode()
        headers = {"Content-Type": "application/json"}
        return self.request(
            method, self.target.api_url, path, query=query, body=data, headers=headers
        )

    def delete(self, path: str, query: Query | None = None) -> Answer:
        """Delete what is at a path of the API."""
        return self.request("DELETE", self.target.api_url, path, query=query)

    def log_in(self, user: str, password: str, ttl_seconds: int | None) -> Mapping[str, Any]:
        """Return a new token as the server describes it: user, token, expiry."""
        pair = base64.b64encode(f"{user}:{password}".encode()).decode()
        body = {} if ttl_seconds is None else {"ttl": ttl_seconds}
        headers = {"Authorization": f"Basic {pair}", "Content-Type": "application/json"}
        answer = self.request(
            "POST",
            self.target.auth_url,
            "/tokens",
            body=json.dumps(body).encode(),
            headers=headers,
            anonymous=True,
        )
        document: Mapping[str, Any] = answer.document()
        return document

    def request(
        self,
        method: str,
        base: str,
        path: str,
        *,
        query: Query | None = None,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        anonymous: bool = False,
    ) -> Answer:
        """Return the answer; raises Refused for an error of the server, Unreachable without one."""
        url = base + path + _query_text(query)
        sent = self._headers(anonymous=anonymous) | dict(headers or {})
        number = self._show_request(method, url, sent, body)
        response, data = self._exchange(method, url, sent, body)
        self._show_answer(number, data)
        if response.status >= 300:
            raise _refusal(response, data)
        lowered = {name.lower(): value for name, value in response.getheaders()}
        return Answer(response.status, lowered, data)

    @contextmanager
    def events(self, path: str, query: Query) -> Iterator[Iterator[tuple[str, str]]]:
        """Open a stream; what is given yields name and data of each event until the server ends it.

        Nothing that happens once the block has begun is missed.
        """
        url = self.target.stream_url + path + _query_text(query)
        headers = self._headers(anonymous=False) | {"Accept": "text/event-stream"}
        self._show_request("GET", url, headers, None)
        connection = self._open(url, STREAM_TIMEOUT_SECONDS)
        try:
            connection.request("GET", _request_target(url), headers=headers)
            response = connection.getresponse()
            if response.status >= 300:
                raise _refusal(response, response.read())
            yield _frames(response)
        except (OSError, http.client.HTTPException) as error:
            raise _unreachable(url, error) from error
        finally:
            connection.close()

    def close(self) -> None:
        """Close the connections; a later request opens new ones."""
        while self._connections:
            self._connections.popitem()[1].close()

    # ---------------------------------------------------------------- connection
    def _exchange(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes | None
    ) -> tuple[http.client.HTTPResponse, bytes]:
        """Send a request over the open connection; one that the server had closed is opened anew."""
        origin = url.split("/", 3)[2]
        known = self._connections.pop(origin, None)
        for connection in (known, None):
            fresh = connection is None
            live = connection or self._open(url, TIMEOUT_SECONDS)
            try:
                live.request(method, _request_target(url), body=body, headers=dict(headers))
                response = live.getresponse()
                data = response.read()
            except (OSError, http.client.HTTPException) as error:
                live.close()
                # Only what changes nothing may be sent twice.
                if fresh or method != "GET":
                    raise _unreachable(url, error) from error
                continue
            self._connections[origin] = live
            return response, data
        raise AssertionError("the second try returns or raises")

    def _open(self, url: str, timeout_seconds: float) -> http.client.HTTPConnection:
        parts = urlsplit(url)
        host = parts.hostname or ""
        if parts.scheme == "http":
            return http.client.HTTPConnection(host, parts.port or 80, timeout=timeout_seconds)
        return http.client.HTTPSConnection(
            host, parts.port or 443, timeout=timeout_seconds, context=self._trust()
        )

    def _trust(self) -> ssl.SSLContext:
        try:
            if self.target.cacert == "off":
                return ssl._create_unverified_context()  # noqa: S323  # --cacert false asks for it
            return ssl.create_default_context(cafile=self.target.cacert or None)
        except OSError as error:
            message = f"the CA certificates {self.target.cacert} cannot be read: {error.strerror}"
            raise Unreachable(message) from error

    def _headers(self, *, anonymous: bool) -> dict[str, str]:
        headers = {"Accept": "application/json", "User-Agent": "whimbrel"}
        if self.target.basic_auth:
            pair = base64.b64encode(self.target.basic_auth.encode()).decode()
            headers["Authorization"] = f"Basic {pair}"
        if anonymous:
            return headers
        if self.target.token:
            headers["X-Auth-Token"] = self.target.token
        elif self.target.api_key:
            headers["St2-Api-Key"] = self.target.api_key
        return headers

    # ---------------------------------------------------------------- debugging
    def _show_request(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes | None
    ) -> int:
        self._requests += 1
        if self._debug:
            import shlex

            words = ["curl", "-X", method]
            for name, value in headers.items():
                words += ["-H", f"{name}: {value if name not in _SECRET_HEADERS else MASK}"]
            if body is not None:
                words += ["--data-binary", _masked(body)]
            self._debug(f"# -------- begin {self._requests} request ----------")
            self._debug(shlex.join([*words, url]))
        return self._requests

    def _show_answer(self, number: int, data: bytes) -> None:
        if self._debug:
            self._debug(f"# -------- begin {number} response ----------")
            self._debug(_masked(data))
            self._debug(f"# -------- end {number} response ------------")


_SECRET_HEADERS = {"Authorization", "X-Auth-Token", "St2-Api-Key"}


def segment(text: str) -> str:
    """Return the text as one segment of a path."""
    return quote(text, safe="", errors="surrogateescape")


def _query_text(query: Query | None) -> str:
    given = {
        name: str(value).lower() if isinstance(value, bool) else str(value)
        for name, value in (query or {}).items()
        if value is not None
    }
    return "?" + urlencode(given, safe=",", errors="surrogateescape") if given else ""


def _request_target(url: str) -> str:
    parts = urlsplit(url)
    return (parts.path or "/") + (f"?{parts.query}" if parts.query else "")


def _refusal(response: http.client.HTTPResponse, data: bytes) -> Refused:
    message = "the server did not say why"
    try:
        document = json.loads(data)
        if isinstance(document, dict) and document.get("faultstring"):
            message = str(document["faultstring"])
    except ValueError:
        location = response.getheader("Location")
        if location:
            message = f"the server is elsewhere: {location}"
    return Refused(response.status, response.reason, message)


def _unreachable(url: str, error: Exception) -> Unreachable:
    origin = "/".join(url.split("/", 3)[:3])
    if isinstance(error, ConnectionRefusedError):
        hint = "Is it running? Start it with: whimbrel up"
        return Unreachable(f"nothing answers at {origin}. {hint}")
    if isinstance(error, ssl.SSLCertVerificationError):
        hint = "Name the CA with --cacert FILE"
        return Unreachable(f"{origin}: {error.verify_message}. {hint}")
    if isinstance(error, ssl.SSLError):
        hint = "Is it http:// rather than https://?"
        return Unreachable(f"{origin} does not speak TLS ({error.reason}). {hint}")
    if isinstance(error, TimeoutError):
        return Unreachable(f"{origin} did not answer in time")
    told = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return Unreachable(f"{origin} cannot be reached: {told}")


def _frames(response: http.client.HTTPResponse) -> Iterator[tuple[str, str]]:
    """Yield the events of an event stream; a heartbeat is a blank line and yields nothing."""
    name, data = "", ""
    while True:
        line = response.readline(EVENT_BYTES_MAX)
        if not line:
            return
        text = line.decode("utf-8", "replace").rstrip("\r\n")
        field, _, value = text.partition(":")
        match field:
            case "event":
                name = value.strip()
            case "data":
                data += value.removeprefix(" ")
            case "" if name:
                yield name, data
                name, data = "", ""


def _masked(data: bytes) -> str:
    """Return the body with what is secret in it replaced; what is no JSON stays as it is."""
    try:
        return json.dumps(_without_secrets(json.loads(data)))
    except ValueError:
        return data.decode("utf-8", "replace")


def _without_secrets(value: Any) -> Any:
    if isinstance(value, list):
        return [_without_secrets(item) for item in value]
    if not isinstance(value, dict):
        return value
    secret = value.get("secret") is True
    return {
        name: MASK
        if isinstance(item, str) and (name in SECRET_NAMES or (secret and name == "value"))
        else _without_secrets(item)
        for name, item in value.items()
    }


__all__ = ["Answer", "Api", "Query", "segment"]
