"""A whole broker as a process of its own, in a scratch folder: what demos, benchmarks and tests drive."""

import base64
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

PROGRAM = Path(sys.executable).parent / "whimbrel"
START_SECONDS_MAX = 30.0
STOP_SECONDS_MAX = 30.0
POLL_SECONDS = 0.02
USER = "admin"
PASSWORD = "correct horse battery staple"  # noqa: S105  the scratch broker's own, made here and gone with it


class StartFailed(RuntimeError):
    """The broker did not get ready; the message holds what it printed."""


def free_port() -> int:
    """Return a TCP port of the loopback address that nothing listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def password_file(folder: Path, user: str = USER, password: str = PASSWORD) -> Path:
    """Write a users file with one user, hashed cheaply since it lives as long as a test."""
    import bcrypt

    hashed = bcrypt.hashpw(password.encode(), bcrypt.gensalt(4)).decode()
    file = folder / "users"
    file.touch(mode=0o600)
    file.write_text(f"{user}:{hashed}\n")
    return file


class BrokerProcess:
    """`whimbrel up` in `folder`; the same object can be started again after a stop or a kill."""

    def __init__(self, folder: Path, **options: object) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.home = folder / "home"
        self.home.mkdir(exist_ok=True)
        self.port = free_port()
        self.grpc_port = free_port()
        self.log = folder / "broker.log"
        self.options: dict[str, object] = {
            "folder": folder / "data",
            "run_folder": folder / "run",
            "master_key_file": folder / "master.key",
            "port": self.port,
            "grpc_port": self.grpc_port,
            "users_file": password_file(folder),
            **options,
        }
        self.token = ""
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """The broker's process id."""
        assert self._process is not None, "not started"
        return self._process.pid

    @property
    def url(self) -> str:
        """The base URL."""
        return f"http://127.0.0.1:{self.port}"

    def environment(self) -> dict[str, str]:
        """Return the environment in which the broker and its clients run."""
        kept = {
            k: v for k, v in os.environ.items() if not k.startswith(("WHIMBREL_", "ST2_", "XDG_"))
        }
        return {**kept, "HOME": str(self.home), "WHIMBREL_URL": self.url}

    def start(self) -> float:
        """Start it, wait until it is ready, log in once; return the seconds until it was ready."""
        flags = [
            text
            for name, value in self.options.items()
            for text in (f"--{name.replace('_', '-')}", str(value))
        ]
        begun = time.perf_counter()
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [PROGRAM, "up", *flags],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=self.environment(),
                start_new_session=True,
            )
        self._wait_ready(begun)
        seconds = time.perf_counter() - begun
        if not self.token:
            self.token = self.login()
        return seconds

    def _wait_ready(self, begun: float) -> None:
        assert self._process is not None
        while True:
            if self._process.poll() is not None:
                raise StartFailed(f"exited {self._process.returncode}:\n{self.printed()}")
            try:
                if self.call("GET", "/health")[0] == http.client.OK:
                    return
            except OSError:
                pass  # not listening yet; the limit below ends the wait
            if time.perf_counter() - begun > START_SECONDS_MAX:
                raise StartFailed(f"not ready in {START_SECONDS_MAX} s:\n{self.printed()}")
            time.sleep(POLL_SECONDS)

    def printed(self) -> str:
        """Return what it has printed so far."""
        return self.log.read_text(errors="replace")

    def login(self, user: str = USER, password: str = PASSWORD) -> str:
        """Return a fresh token."""
        basic = base64.b64encode(f"{user}:{password}".encode()).decode()
        status, answer = self.call(
            "POST", "/auth/v1/tokens", {}, headers={"Authorization": f"Basic {basic}"}
        )
        if status != http.client.CREATED:
            raise StartFailed(f"log-in answered {status}: {answer}")
        return str(answer["token"])

    def call(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        headers: Mapping[str, str] | None = None,
    ) -> tuple[int, Any]:
        """Make one request; return the status and the decoded answer (None when it is empty)."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        sent = {"Content-Type": "application/json", **(headers or {})}
        if self.token:
            sent.setdefault("X-Auth-Token", self.token)
        try:
            data = None if body is None else json.dumps(body)
            connection.request(method, path, data, sent)
            response = connection.getresponse()
            text = response.read()
        finally:
            connection.close()
        if not text:
            return response.status, None
        if "json" in (response.getheader("Content-Type") or ""):
            return response.status, json.loads(text)
        return response.status, text.decode(errors="replace")

    def cli(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run the `whimbrel` command against it."""
        return subprocess.run(
            [PROGRAM, *arguments],
            env={**self.environment(), "WHIMBREL_AUTH_TOKEN": self.token},
            capture_output=True,
            text=True,
            check=check,
            timeout=120,
        )

    def kill(self) -> None:
        """End it as a crash would: SIGKILL, to the broker alone."""
        assert self._process is not None
        os.kill(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._process = None

    def stop(self) -> int:
        """Ask it to end and return its exit code."""
        if self._process is None:
            return 0
        self._process.terminate()
        code = self._process.wait(STOP_SECONDS_MAX)
        self._process = None
        return code

    def __enter__(self) -> "BrokerProcess":
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
