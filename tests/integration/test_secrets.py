"""No secret is readable anywhere but where it belongs: canaries go in at every door, and are looked for.

Looked at are the command lines and environments of all processes, what was logged, every answer that is
asked for afterwards, the event stream, all messages on the bus, and every file of the broker.
"""

import asyncio
import base64
import http.client
import json
import os
import threading
import time
from collections.abc import Callable
from http import HTTPStatus
from pathlib import Path
from typing import Any

import grpc
import nats
import pytest
from whimbrel.testing import BrokerProcess
from whimbrel.testing.process import password_file
from whimbrel_sdk.wire.api.v1 import content_service_pb2 as content_pb
from whimbrel_sdk.wire.api.v1 import content_service_pb2_grpc as content_rpc
from whimbrel_sdk.wire.api.v1 import execution_service_pb2 as execution_pb
from whimbrel_sdk.wire.api.v1 import execution_service_pb2_grpc as execution_rpc

SECONDS_MAX = 30.0
CANARIES = {
    name: f"canary-{name}-7f3a9c"
    for name in (
        "password",
        "wrong-password",
        "wrong-token",
        "wrong-key",
        "sudo-password",
        "refused-parameter",
        "rule-parameter",
        "refused-rule-parameter",
        "bearer",
        "cookie",
        "datastore",
    )
}
ASKED = (
    "/api/v1",
    "/api/v1/actions?limit=-1",
    "/api/v1/actions/views/overview",
    "/api/v1/actionexecutions?limit=-1",
    "/api/v1/apikeys",
    "/api/v1/config",
    "/api/v1/executions?limit=-1",
    "/api/v1/executions/views/filters",
    "/api/v1/keys?scope=all",
    "/api/v1/packs",
    "/api/v1/ruleenforcements?limit=-1",
    "/api/v1/ruleenforcements/views?limit=-1",
    "/api/v1/rules?limit=-1",
    "/api/v1/rules/views?limit=-1",
    "/api/v1/ruletypes",
    "/api/v1/runnertypes",
    "/api/v1/status",
    "/api/v1/traces?limit=-1",
    "/api/v1/triggerinstances?limit=-1",
    "/api/v1/triggers?limit=-1",
    "/api/v1/triggertypes",
    "/api/v1/user",
    "/api/v1/webhooks",
    "/health",
    "/metrics",
)
SUDO = """#!/bin/sh
# Stands for sudo: reads the password, drops its own options, runs the rest.
read -r password
while case "$1" in -*) true ;; *) false ;; esac; do
    [ "$1" = -- ] && { shift; break; }
    shift
done
exec "$@"
"""


class Watched(BrokerProcess):
    """A broker whose `sudo` needs no rights, and whose admin's password is a canary."""

    def __init__(self, folder: Path) -> None:
        programs = folder / "bin"
        programs.mkdir(parents=True)
        (programs / "sudo").write_text(SUDO)
        (programs / "sudo").chmod(0o755)
        super().__init__(folder, log_level="debug")
        password_file(folder, password=CANARIES["password"])
        self.path = f"{programs}:{os.environ['PATH']}"
        self.key = ""

    def environment(self) -> dict[str, str]:
        """Return the environment with the stand-in found first."""
        return {**super().environment(), "PATH": self.path}

    def login(self, user: str = "admin", password: str = CANARIES["password"]) -> str:
        """Return a token for the canary."""
        return super().login(user, password)


class Evidence:
    """Texts that were found, by where."""

    def __init__(self) -> None:
        self.found: dict[str, bytes] = {}

    def add(self, place: str, data: bytes) -> None:
        """Keep what was read at a place."""
        self.found[place] = self.found.get(place, b"") + data

    def leaks(self, secrets: dict[str, str]) -> list[str]:
        """Return where which secret stands, as it is, in hex or in Base64."""
        return [
            f"{name} ({form}) in {place}"
            for place, data in self.found.items()
            for name, secret in secrets.items()
            for form, text in _forms(secret).items()
            if text in data
        ]


def _forms(secret: str) -> dict[str, bytes]:
    raw = secret.encode()
    # The Base64 text of what stands in the middle of something else has three forms.
    shifted = [
        base64.b64encode(b"\0" * n + raw)[4 : -4 if len(raw) > 12 else None] for n in range(3)
    ]
    return {
        "clear": raw,
        "hex": raw.hex().encode(),
        **{f"base64+{n}": s for n, s in enumerate(shifted)},
    }


class Ears:
    """Everything that is told while it happens: all bus messages, and the event stream."""

    def __init__(self, broker: Watched, evidence: Evidence) -> None:
        self._broker = broker
        self._evidence = evidence
        self._stop = threading.Event()
        self.ready = threading.Barrier(3)
        self.bus_messages = 0
        self.stream_bytes = 0
        self._threads = [threading.Thread(target=work) for work in (self._bus, self._stream)]

    def __enter__(self) -> "Ears":
        for thread in self._threads:
            thread.start()
        self.ready.wait(SECONDS_MAX)
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(SECONDS_MAX)

    def _bus(self) -> None:
        asyncio.run(self._listen())

    async def _listen(self) -> None:
        run = self._broker.folder / "run"
        client = await nats.connect(
            (run / "nats.url").read_text().strip(),
            nkeys_seed_str=(run / "nats-publisher.nk").read_text().strip(),
        )

        async def hear(message: Any) -> None:
            self.bus_messages += 1
            headers = repr(message.headers).encode()
            self._evidence.add("the bus", message.subject.encode() + headers + message.data)

        await client.subscribe("whimbrel.>", cb=hear)
        await client.flush()
        await asyncio.to_thread(self.ready.wait)
        while not self._stop.is_set():
            await asyncio.sleep(0.05)
        await client.close()

    def _stream(self) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self._broker.port, timeout=1)
        connection.request("GET", "/stream/v1/stream", headers={"St2-Api-Key": self._broker.key})
        response = connection.getresponse()
        self.ready.wait()
        while not self._stop.is_set():
            try:
                data = response.read1(65536)
            except TimeoutError:
                continue
            self.stream_bytes += len(data)
            self._evidence.add("the event stream", data)
        connection.close()


def wait_for(found: Callable[[], Any]) -> Any:
    """Return what `found` gives once it gives something."""
    deadline = time.monotonic() + SECONDS_MAX
    while not (value := found()):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return value


def ended(broker: BrokerProcess, execution_id: str) -> dict[str, Any]:
    """Return an execution once it has ended."""

    def found() -> Any:
        _, answer = broker.call("GET", f"/api/v1/executions/{execution_id}")
        return answer if "end_timestamp" in answer else None

    return dict(wait_for(found))


def processes(root: int) -> dict[int, tuple[bytes, bytes]]:
    """Return command line and environment of a process and all below it."""
    parents: dict[int, int] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                stat = (entry / "stat").read_text()
            except OSError:
                continue  # ended meanwhile
            parents[int(entry.name)] = int(stat.rpartition(")")[2].split()[1])
    below = {root}
    while new := {pid for pid, parent in parents.items() if parent in below} - below:
        below |= new
    seen = {}
    for pid in below:
        try:
            place = Path(f"/proc/{pid}")
            seen[pid] = (place / "cmdline").read_bytes(), (place / "environ").read_bytes()
        except OSError:
            continue
    return seen


def run(broker: Watched, action: str, **parameters: Any) -> tuple[int, Any]:
    """Request an execution."""
    return broker.call("POST", "/api/v1/executions", {"action": action, "parameters": parameters})


def rule(name: str, password: Any, gate: Path) -> dict[str, Any]:
    """Return a rule whose action has a secret parameter."""
    parameters = {"cmd": f"until test -e {gate}; do sleep 0.05; done", "sudo_password": password}
    return {
        "name": name,
        "pack": "default",
        "enabled": True,
        "trigger": {"type": "core.st2.webhook", "parameters": {"url": "secretive"}},
        "criteria": {},
        "action": {"ref": "core.local_sudo", "parameters": parameters},
    }


def knock(broker: Watched) -> None:
    """Try every door with the wrong credentials."""
    wrong = base64.b64encode(f"admin:{CANARIES['wrong-password']}".encode()).decode()
    calls = (
        ("POST", "/auth/v1/tokens", {"Authorization": f"Basic {wrong}"}),
        ("GET", "/api/v1/rules", {"X-Auth-Token": CANARIES["wrong-token"]}),
        ("GET", "/api/v1/rules", {"X-Auth-Token": "", "St2-Api-Key": CANARIES["wrong-key"]}),
        ("GET", f"/api/v1/rules?x-auth-token={CANARIES['wrong-token']}", {"X-Auth-Token": ""}),
        ("GET", f"/api/v1/rules?st2-api-key={CANARIES['wrong-key']}", {"X-Auth-Token": ""}),
    )
    for method, path, headers in calls:
        status, answer = broker.call(
            method, path, {} if method == "POST" else None, headers=headers
        )
        assert HTTPStatus.UNAUTHORIZED == status, (path, answer)


def post_webhook(broker: Watched) -> None:
    """Post an event with every kind of credential that a caller may send along."""
    headers = {
        "Authorization": f"Bearer {CANARIES['bearer']}",
        "Proxy-Authorization": f"Basic {CANARIES['bearer']}",
        "Cookie": f"auth-token={CANARIES['cookie']}; other=1",
        "St2-Api-Key": broker.key,
    }
    path = f"/api/v1/webhooks/secretive?st2-api-key={broker.key}"
    status, answer = broker.call("POST", path, {"n": 1}, headers=headers)
    assert HTTPStatus.ACCEPTED == status, answer


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> tuple[Evidence, dict[str, str]]:
    """Send canaries in everywhere, and gather all that can be read."""
    folder = tmp_path_factory.mktemp("s")
    broker = Watched(folder)
    evidence = Evidence()
    broker.start()
    try:
        status, made = broker.call("POST", "/api/v1/apikeys", {})
        assert HTTPStatus.CREATED == status
        broker.key = made["key"]
        with Ears(broker, evidence) as ears:
            run_token = play(broker, evidence, folder)
        assert ears.bus_messages > 5
        assert ears.stream_bytes > 1000
        ask(broker, evidence)
        secrets = {**CANARIES, "token": broker.token, "API key": broker.key, "run token": run_token}
    finally:
        broker.stop()
    evidence.add("the log", broker.log.read_bytes())
    for place in (folder / "data", folder / "run", folder / "home"):
        for file in place.rglob("*"):
            if file.is_file():
                evidence.add(f"the file {file.relative_to(folder)}", file.read_bytes())
    return evidence, secrets


def play(broker: Watched, evidence: Evidence, folder: Path) -> str:
    """Let executions run with secrets, look at the processes meanwhile; return the run's token."""
    gate, told = folder / "gate", folder / "token"
    knock(broker)
    for name, value in (
        ("good", CANARIES["rule-parameter"]),
        ("bad", [CANARIES["refused-rule-parameter"]]),
    ):
        assert (
            HTTPStatus.CREATED == broker.call("POST", "/api/v1/rules", rule(name, value, gate))[0]
        )
    waiting = (
        f"printf %s $ST2_ACTION_AUTH_TOKEN > {told}; until test -e {gate}; do sleep 0.05; done"
    )
    status, started = run(
        broker, "core.local", cmd=waiting, sudo_password=CANARIES["sudo-password"]
    )
    assert HTTPStatus.CREATED == status, started
    status, with_sudo = run(
        broker,
        "core.local_sudo",
        cmd=f"until test -e {gate}; do sleep 0.05; done; echo done",
        sudo_password=CANARIES["sudo-password"],
    )
    assert HTTPStatus.CREATED == status, with_sudo
    status, refusal = run(
        broker, "core.local", cmd="true", sudo_password={"x": CANARIES["refused-parameter"]}
    )
    assert HTTPStatus.BAD_REQUEST == status
    evidence.add("a refusal", json.dumps(refusal).encode())
    refusal = broker.call(
        "PUT", "/api/v1/keys/k", {"name": "k", "value": CANARIES["datastore"], "secret": True}
    )
    evidence.add("the answer to a secret key", json.dumps(refusal).encode())
    post_webhook(broker)

    token = wait_for(lambda: told.exists() and told.read_text())
    wait_for(lambda: len(_waiting(broker)) >= 3)
    for pid, (command, environment) in processes(broker.pid).items():
        evidence.add(f"the command line of {pid}", command)
        documented = f"ST2_ACTION_AUTH_TOKEN={token}\0".encode()
        is_started = b"ST2_ACTION_EXECUTION_ID=" in environment
        evidence.add(
            f"the environment of {pid}",
            environment.replace(documented, b"") if is_started else environment,
        )
    gate.touch()
    for execution in (started, with_sudo):
        assert "succeeded" == ended(broker, execution["id"])["status"]
    wait_for(lambda: not _waiting(broker))
    return str(token)


def _waiting(broker: Watched) -> list[Any]:
    return list(broker.call("GET", "/api/v1/executions?status=running")[1])


def ask(broker: Watched, evidence: Evidence) -> None:
    """Ask for everything that can be asked for, by REST and gRPC."""
    for path in ASKED:
        evidence.add(f"GET {path}", json.dumps(broker.call("GET", path)).encode())
    for kind in (
        "executions",
        "rules",
        "triggerinstances",
        "ruleenforcements",
        "apikeys",
        "traces",
    ):
        for item in broker.call("GET", f"/api/v1/{kind}?limit=-1")[1]:
            for tail in ("", "/output", "/children", "/attribute/parameters"):
                path = f"/api/v1/{kind}/{item['id']}{tail}"
                evidence.add(f"GET {path}", json.dumps(broker.call("GET", path)).encode())
    channel = grpc.insecure_channel(f"127.0.0.1:{broker.grpc_port}")
    metadata = (("authorization", f"Bearer {broker.token}"),)
    with channel:
        listed = execution_rpc.ExecutionServiceStub(channel).ListExecutions(
            execution_pb.ListExecutionsRequest(), metadata=metadata
        )
        evidence.add("gRPC ListExecutions", listed.SerializeToString())
        content = content_rpc.ContentServiceStub(channel)
        for number in content_pb.ContentKind.values()[1:]:
            answer = content.ListContent(
                content_pb.ListContentRequest(kind=number), metadata=metadata
            )
            evidence.add("gRPC ListContent", answer.SerializeToString())


def test_no_secret_is_readable(scene: tuple[Evidence, dict[str, str]]) -> None:
    """None of the secrets stands anywhere, in clear, hex or Base64."""
    evidence, secrets = scene
    assert [] == evidence.leaks(secrets)


def test_the_evidence_is_worth_something(scene: tuple[Evidence, dict[str, str]]) -> None:
    """What is public was found in each kind of place, so a secret would have been."""
    evidence, _ = scene
    places = " ".join(evidence.found)
    for kind in (
        "command line",
        "environment",
        "the log",
        "file data/store",
        "file run/",
        "the bus",
    ):
        assert kind in places
    assert b"core.local_sudo" in evidence.found["the bus"]
    assert b"core.local_sudo" in evidence.found["the event stream"]
    assert b"********" in evidence.found["GET /api/v1/executions?limit=-1"]
    assert b"********" in evidence.found["GET /api/v1/rules?limit=-1"]
    assert b"sudo_password" in evidence.found["GET /api/v1/ruleenforcements?limit=-1"]
    lines = [data for place, data in evidence.found.items() if "command line" in place]
    assert any(b"sudo" in line for line in lines)
