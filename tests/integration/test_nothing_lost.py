"""Nothing that was acknowledged is lost, whatever is killed meanwhile."""

import asyncio
import json
import os
import random
import signal
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from http import HTTPStatus
from pathlib import Path
from typing import Any

import nats
import nats.errors
import nats.js.errors
import pytest
from whimbrel.testing import BrokerProcess, StartFailed

WEBHOOKS = 2000
PUBLISHED = 2000
KILLS_OF_EACH = 4
POSTERS = 8
PUBLISHERS = 16
SETTLE_SECONDS_MAX = 120.0
FINAL = {"succeeded", "failed", "timeout", "abandoned", "canceled"}

RULE = {
    "name": "chaos",
    "pack": "default",
    "enabled": True,
    "trigger": {"type": "core.st2.webhook", "parameters": {"url": "chaos"}},
    "criteria": {"trigger.body.n": {"type": "exists", "pattern": True}},
    "action": {"ref": "core.local", "parameters": {"cmd": "true # {{trigger.body.n}}"}},
}


class Storm:
    """A broker under load and under fire."""

    def __init__(self, broker: BrokerProcess, seed: int) -> None:
        self.broker = broker
        self.chance = random.Random(seed)
        self.acknowledged: set[str] = set()
        self.calm = threading.Event()
        self.kills: Counter[str] = Counter()

    def post_all(self, numbers: Iterator[int]) -> None:
        """Post webhooks; a number whose answer was lost is not counted and not used again."""
        for number in numbers:
            name = f"w{number}"
            while not self._post(name):
                name += "'"
            self.acknowledged.add(name)

    def _post(self, name: str) -> bool:
        try:
            status, _ = self.broker.call("POST", "/api/v1/webhooks/chaos", {"n": name})
        except (OSError, ValueError):
            time.sleep(0.02)
            return False
        return status == HTTPStatus.ACCEPTED

    async def publish_all(self) -> None:
        """Publish over JetStream; a message without an answer is sent again under its id."""
        client = await _connect(self.broker)
        stream = client.jetstream(timeout=2)
        slots = asyncio.Semaphore(PUBLISHERS)

        async def publish(name: str) -> None:
            async with slots:
                while not await _published(stream, name):
                    await asyncio.sleep(0.05)
                self.acknowledged.add(name)

        async with asyncio.TaskGroup() as tasks:
            for number in range(PUBLISHED):
                tasks.create_task(publish(f"n{number}"))
        with suppress(nats.errors.Error):
            await client.close()

    def shoot(self) -> None:
        """Kill each kind of process several times, in random order, while the load goes on."""
        targets = ["broker", "nats-server", "shell"] * KILLS_OF_EACH
        self.chance.shuffle(targets)
        for target in targets:
            if self.calm.wait(self.chance.uniform(0.2, 0.8)):
                return
            self._kill(target)

    def _kill(self, target: str) -> None:
        if target == "broker":
            self.broker.kill()
            self.broker.start()
        else:
            for pid in _descendants(self.broker.pid, target):
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
                    self.kills[target] += 1
            return
        self.kills[target] += 1


async def _connect(broker: BrokerProcess) -> Any:
    while True:
        try:
            return await _connect_once(broker.folder / "run")
        except (OSError, nats.errors.Error):
            await asyncio.sleep(0.05)


async def _connect_once(run_folder: Path) -> Any:
    url = (run_folder / "nats.url").read_text().strip()
    seed = (run_folder / "nats-publisher.nk").read_text().strip()

    async def quiet(_: Exception) -> None:
        """Lost connections are part of the test."""

    return await nats.connect(
        url,
        nkeys_seed_str=seed,
        max_reconnect_attempts=-1,
        reconnect_time_wait=0.05,
        error_cb=quiet,
    )


async def _published(stream: Any, name: str) -> bool:
    event = {
        "specversion": "1.0",
        "id": name,
        "source": "storm",
        "type": "core.st2.webhook",
        "triggerparameters": '{"url": "chaos"}',
        "data": {"headers": {}, "headers_lower": {}, "body": {"n": name}},
    }
    headers = {"Nats-Msg-Id": name}
    try:
        await stream.publish(
            "whimbrel.event.core.st2.webhook", json.dumps(event).encode(), headers=headers
        )
    except (nats.errors.Error, nats.js.errors.Error, OSError):
        return False
    return True


def _descendants(root: int, name: str) -> list[int]:
    """Return the processes below `root` whose command line names `name`."""
    parents: dict[int, int] = {}
    commands: dict[int, str] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with suppress(OSError):
                pid = int(entry.name)
                parents[pid] = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
                commands[pid] = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()
    below = {root}
    while new := {p for p, parent in parents.items() if parent in below} - below:
        below |= new
    wanted = {"shell": "shell_runner"}.get(name, name)
    return [p for p in below - {root} if wanted in commands[p] and "/bin/sh" not in commands[p]]


def _settled(broker: BrokerProcess) -> list[dict[str, Any]]:
    deadline = time.monotonic() + SETTLE_SECONDS_MAX
    while True:
        status, executions = broker.call(
            "GET", "/api/v1/executions?limit=-1&action=core.local&exclude_attributes=result"
        )
        assert status == HTTPStatus.OK
        if all(e["status"] in FINAL for e in executions):
            return list(executions)
        assert time.monotonic() < deadline, Counter(e["status"] for e in executions)
        time.sleep(0.2)


@pytest.mark.timeout(600)
def test_every_acknowledged_event_has_one_instance_and_one_execution(tmp_path: Path) -> None:
    """Acknowledged webhooks and NATS events survive kills of broker, nats-server and shell plugin."""
    seed = int(os.environ.get("SEED", "0")) or random.SystemRandom().randrange(1, 1 << 30)
    print(f"SEED={seed}")
    broker = BrokerProcess(tmp_path, token_ttl_seconds=86400)
    broker.start()
    try:
        _storm(broker, seed)
    except BaseException:
        print(broker.printed()[-10_000:])
        raise
    finally:
        with suppress(StartFailed):
            broker.stop()


def _storm(broker: BrokerProcess, seed: int) -> None:
    assert broker.call("POST", "/api/v1/rules", RULE)[0] == HTTPStatus.CREATED
    storm = Storm(broker, seed)
    numbers = iter(range(WEBHOOKS))
    with ThreadPoolExecutor(POSTERS + 2) as pool:
        shooting = pool.submit(storm.shoot)
        publishing = pool.submit(lambda: asyncio.run(storm.publish_all()))
        posting = [pool.submit(storm.post_all, _shared(numbers)) for _ in range(POSTERS)]
        for work in (*posting, publishing, shooting):
            work.result()
    executions = _settled(broker)
    _, instances = broker.call("GET", "/api/v1/triggerinstances?limit=-1")

    seen = Counter(i["payload"]["body"]["n"] for i in instances if "body" in i["payload"])
    ran = Counter(e["trigger_instance"]["id"] for e in executions if "trigger_instance" in e)
    named = {i["id"]: i["payload"]["body"]["n"] for i in instances if "body" in i["payload"]}
    executed = Counter({named[instance]: count for instance, count in ran.items()})
    abandoned = [e for e in executions if e["status"] == "abandoned"]

    assert WEBHOOKS + PUBLISHED == len(storm.acknowledged)
    assert {} == {name: seen[name] for name in storm.acknowledged if seen[name] != 1}
    assert {} == {name: executed[name] for name in storm.acknowledged if executed[name] != 1}
    assert all(storm.kills[kind] for kind in ("broker", "nats-server", "shell"))
    for execution in abandoned[:20]:
        _, full = broker.call("GET", f"/api/v1/executions/{execution['id']}")
        assert full["result"]["error"]


_TURN = threading.Lock()


def _shared(numbers: Iterator[int]) -> Iterator[int]:
    while True:
        with _TURN:
            number = next(numbers, None)
        if number is None:
            return
        yield number
