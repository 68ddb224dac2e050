"""A small real HTTP server with StackStorm's answers, and the command line run against it."""

import io
import json
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple
from urllib.parse import parse_qs, urlsplit

from whimbrel.cli import entry
from whimbrel.cli.shell import Shell

NOW = 1_700_000_000.0
"""14 November 2023, 22:13:20 UTC."""


class Request(NamedTuple):
    """What the server was asked. `query` holds the last value of each parameter."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes

    def document(self) -> Any:
        """Return the body as JSON."""
        return json.loads(self.body)


class Reply(NamedTuple):
    """An answer: a document as JSON, or text as it is."""

    document: Any = None
    status: int = 200
    headers: Mapping[str, str] = {}
    text: str | None = None


Answer = Reply | Callable[[Request], Reply]


class Served:
    """The server's answers by method and path, and the requests it has had. Unknown paths are 404."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.requests: list[Request] = []
        self._answers: dict[tuple[str, str], list[Answer]] = {}

    def on(self, method: str, path: str, *answers: Answer) -> None:
        """Answer with each in turn; the last one stays."""
        self._answers[method, path] = list(answers)

    def answer(self, request: Request) -> Reply:
        """Return the answer to a request."""
        self.requests.append(request)
        answers = self._answers.get((request.method, request.path))
        if not answers:
            return Reply({"faultstring": "The resource could not be found."}, 404)
        chosen = answers.pop(0) if len(answers) > 1 else answers[0]
        return chosen(request) if callable(chosen) else chosen

    def calls(self) -> list[str]:
        """Return method and path of each request."""
        return [f"{request.method} {request.path}" for request in self.requests]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    served: Served

    def _any(self) -> None:
        parts = urlsplit(self.path)
        request = Request(
            method=self.command,
            path=parts.path,
            query={name: values[-1] for name, values in parse_qs(parts.query).items()},
            headers={name.lower(): value for name, value in self.headers.items()},
            body=self.rfile.read(int(self.headers.get("content-length") or 0)),
        )
        reply = self.served.answer(request)
        text = json.dumps(reply.document) if reply.text is None else reply.text
        data = b"" if reply.status == 204 else text.encode()
        self.send_response(reply.status)
        for name, value in reply.headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    do_GET = do_POST = do_PUT = do_DELETE = _any  # noqa: N815  # the names that http.server calls

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # http.server's name
        """Write no log."""


@contextmanager
def serving() -> Iterator[Served]:
    """Serve on a free port until the end of the block."""

    class Handler(_Handler):
        pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        Handler.served = Served(f"http://127.0.0.1:{server.server_port}")
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield Handler.served
        finally:
            server.shutdown()
            thread.join()


class Outcome(NamedTuple):
    """What a command line came to. `pauses` are the seconds it would have waited, one by one."""

    code: int
    output: str
    errors: str
    pauses: Sequence[float]

    def json(self) -> Any:
        """Return the first JSON document of the output."""
        return json.JSONDecoder().raw_decode(self.output)[0]


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        """Return that it is."""
        return True


def run(
    *words: str,
    environment: Mapping[str, str],
    typed: str = "",
    terminal: bool = False,
) -> Outcome:
    """Run a command line in this process; its clock stands still and it never really waits."""
    output, errors = (Terminal(), Terminal()) if terminal else (io.StringIO(), io.StringIO())
    pauses: list[float] = []
    shell = Shell(
        environment=environment,
        input=io.StringIO(typed),
        output=output,
        errors=errors,
        now=lambda: NOW,
        pause=pauses.append,
    )
    code = entry.run(words, shell)
    return Outcome(code, output.getvalue(), errors.getvalue(), pauses)
