"""The main path, end to end on a real broker: webhook → rule → shell action → stored result."""

import json
import multiprocessing
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

from whimbrel.testing import BrokerProcess

from benchmarks.load import percentile, request_bytes, response_length, run, wait_until

LATENCY_ROUNDS = 300
SUSTAINED_EVENTS = 3000
UNMATCHED_EVENTS = 12000
NOOPS = 3000
SPAWN_SECONDS = 2.0
STARTS = 3
CLI_ROUNDS = 9


def _rule(name: str, criteria: dict[str, Any], action: dict[str, Any]) -> dict[str, Any]:
    return {
        "name": name,
        "pack": "default",
        "enabled": True,
        "trigger": {"type": "core.st2.webhook", "parameters": {"url": name}},
        "criteria": criteria,
        "action": action,
    }


def spawn_latency_seconds(rounds: int) -> float:
    """Return the median time of spawning `/bin/sh -c true` directly and waiting for it."""
    times = []
    for _ in range(rounds):
        begun = time.perf_counter()
        pid = os.posix_spawn("/bin/sh", ["/bin/sh", "-c", "true"], {})
        os.waitpid(pid, 0)
        times.append(time.perf_counter() - begun)
    return statistics.median(times)


def _spawn_loop(seconds: float, count: Any) -> None:
    end = time.perf_counter() + seconds
    done = 0
    while time.perf_counter() < end:
        os.waitpid(os.posix_spawn("/bin/sh", ["/bin/sh", "-c", "true"], {}), 0)
        done += 1
    with count.get_lock():
        count.value += done


def spawn_rate(workers: int = 4) -> float:
    """Return how many `/bin/sh -c true` a second this machine runs with nothing else to do."""
    context = multiprocessing.get_context("spawn")
    count = context.Value("i", 0)
    processes = [
        context.Process(target=_spawn_loop, args=(SPAWN_SECONDS, count)) for _ in range(workers)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    return float(count.value) / SPAWN_SECONDS


class _Stream:
    """The live stream, read line by line."""

    def __init__(self, broker: BrokerProcess) -> None:
        self.socket = socket.create_connection(("127.0.0.1", broker.port))
        head = (
            f"GET /stream/v1/stream?events=st2.execution__update HTTP/1.1\r\nHost: x\r\n"
            f"X-Auth-Token: {broker.token}\r\n\r\n"
        )
        self.socket.sendall(head.encode())
        self.file = self.socket.makefile("rb")
        while self.file.readline().strip():
            pass

    def final(self) -> dict[str, Any]:
        """Return the next execution that has ended."""
        while True:
            line = self.file.readline()
            if line.startswith(b"data: "):
                document: dict[str, Any] = json.loads(line[6:])
                if "end_timestamp" in document:
                    return document


def _read_response(connection: socket.socket) -> None:
    buffer = b""
    while response_length(buffer) is None:
        buffer += connection.recv(65536)


def latency(broker: BrokerProcess) -> dict[str, Any]:
    """Measure webhook posted → result stored, one at a time, and the stages in between."""
    body = {"name": "st2"}
    data = request_bytes("POST", "/api/v1/webhooks/fast", broker.token, body)
    stream = _Stream(broker)
    poster = socket.create_connection(("127.0.0.1", broker.port))
    poster.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    totals: list[float] = []
    stages: dict[str, list[float]] = {}
    spawns: list[float] = []
    for number in range(LATENCY_ROUNDS):
        wall, begun = time.time(), time.perf_counter()
        poster.sendall(data)
        _read_response(poster)
        accepted = time.perf_counter() - begun
        document = stream.final()
        total = time.perf_counter() - begun
        spawns.append(spawn_latency_seconds(1))
        if number >= LATENCY_ROUNDS // 10:
            totals.append(total)
            _note_stages(stages, document, wall, accepted, total)
    spawn = statistics.median(spawns)
    p50 = percentile(totals, 0.5)
    return {
        "spawn_p50_ms": spawn * 1e3,
        "webhook_to_stored_p50_ms": p50 * 1e3,
        "webhook_to_stored_p99_ms": percentile(totals, 0.99) * 1e3,
        "ratio_p50_to_spawn": p50 / spawn,
        "goal_ratio": 3.0,
        "stages_p50_ms": {name: statistics.median(v) * 1e3 for name, v in stages.items()},
    }


def _note_stages(
    stages: dict[str, list[float]],
    document: dict[str, Any],
    wall: float,
    accepted: float,
    total: float,
) -> None:
    entered = {e["status"]: datetime.fromisoformat(e["timestamp"]) for e in document["log"]}
    at = {status: moment.timestamp() - wall for status, moment in entered.items()}
    parts = {
        "1 request parsed, rules decided": at["requested"],
        "2 committed and acknowledged": accepted - at["requested"],
        "3 from acceptance to started in the plugin": at["running"] - at["scheduled"],
        "4 process run, result back": at["succeeded"] - at["running"],
        "5 result committed, subscriber told": total - at["succeeded"],
    }
    for name, seconds in parts.items():
        stages.setdefault(name, []).append(seconds)


def _repeat(data: bytes, times: int) -> Iterator[bytes]:
    return (data for _ in range(times))


def _completed(broker: BrokerProcess) -> int:
    code, answer = broker.call("GET", "/api/v1/status")
    assert code == 200
    executions = answer["executions"]
    return int(answer["store"]["execution"] - executions["active"] - executions["queued"])


def _rate(
    broker: BrokerProcess, method: str, path: str, body: Any, times: int, expect: bytes
) -> tuple[float, float]:
    """Return accepted per second and, when executions follow, finished per second."""
    before = _completed(broker)
    data = request_bytes(method, path, broker.token, body)
    begun = time.perf_counter()
    _, accepted_seconds, _ = run(broker.port, _repeat(data, times), connections=32, expect=expect)
    wait_until(lambda: _completed(broker) >= before + times)
    return times / accepted_seconds, times / (time.perf_counter() - begun)


def sustained(broker: BrokerProcess) -> dict[str, Any]:
    """Measure events a second through rule and shell action, against the bare spawn rate."""
    floor = spawn_rate()
    accepted, finished = _rate(
        broker, "POST", "/api/v1/webhooks/fast", {"name": "st2"}, SUSTAINED_EVENTS, b" 202 "
    )
    again = spawn_rate()
    bare = (floor + again) / 2
    return {
        "bare_spawns_per_s": bare,
        "events_accepted_per_s": accepted,
        "events_finished_per_s": finished,
        "share_of_bare_spawn_rate": finished / bare,
        "goal_share": 0.5,
    }


def unmatched(broker: BrokerProcess) -> dict[str, Any]:
    """Measure durable events a second that match no rule."""
    data = request_bytes("POST", "/api/v1/webhooks/quiet", broker.token, {"name": "other"})
    count, seconds, latencies = run(
        broker.port, _repeat(data, UNMATCHED_EVENTS), connections=64, expect=b" 202 "
    )
    return {
        "unmatched_events_per_s": count / seconds,
        "goal_per_s": 3000,
        "p50_ms": percentile(latencies, 0.5) * 1e3,
        "p99_ms": percentile(latencies, 0.99) * 1e3,
    }


def noops(broker: BrokerProcess) -> dict[str, Any]:
    """Measure core.noop executions a second, requested over REST."""
    body = {"action": "core.noop"}
    accepted, finished = _rate(broker, "POST", "/api/v1/executions", body, NOOPS, b" 201 ")
    return {"noop_accepted_per_s": accepted, "noop_finished_per_s": finished}


def processes(root: int) -> list[tuple[str, int, int]]:
    """Return (name, RSS KiB, PSS KiB) of a process and all below it."""
    parents = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parents[int(entry.name)] = int(
                    (entry / "stat").read_text().rpartition(")")[2].split()[1]
                )
            except OSError:
                continue
    below = {root}
    while new := {p for p, parent in parents.items() if parent in below} - below:
        below |= new
    return sorted(_memory(pid) for pid in below)


def _memory(pid: int) -> tuple[str, int, int]:
    folder = Path(f"/proc/{pid}")
    command = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode().strip()
    lines = (folder / "smaps_rollup").read_text().splitlines()[1:]
    sizes = {line.split(":")[0]: int(line.split()[1]) for line in lines}
    return (command[-60:], sizes["Rss"], sizes["Pss"])


def memory(broker: BrokerProcess) -> dict[str, Any]:
    """Measure the idle memory of every process of a warm broker."""
    every = processes(broker.pid)
    return {
        "processes": [
            {"command": c, "rss_mib": r / 1024, "pss_mib": p / 1024} for c, r, p in every
        ],
        "rss_mib": sum(r for _, r, _ in every) / 1024,
        "pss_mib": sum(p for _, _, p in every) / 1024,
        "goal_rss_mib": 120,
    }


def cli(broker: BrokerProcess) -> dict[str, Any]:
    """Measure the wall time of `whimbrel key get`, against a bare interpreter start."""
    broker.cli("key", "set", "bench", "value")
    program = Path(sys.executable).parent / "whimbrel"
    environment = {**broker.environment(), "WHIMBREL_AUTH_TOKEN": broker.token}

    def timed(*command: str) -> float:
        begun = time.perf_counter()
        subprocess.run(command, env=environment, check=True, capture_output=True)
        return time.perf_counter() - begun

    gets = [timed(str(program), "key", "get", "bench") for _ in range(CLI_ROUNDS)]
    bare = [timed(sys.executable, "-c", "pass") for _ in range(CLI_ROUNDS)]
    return {
        "key_get_ms": statistics.median(gets) * 1e3,
        "bare_python_ms": statistics.median(bare) * 1e3,
        "goal_ms": 150,
    }


def starts(folder: Path) -> dict[str, Any]:
    """Measure start to ready: the first start of a new folder, and later ones."""
    broker = BrokerProcess(folder)
    seconds = []
    for _ in range(STARTS + 1):
        seconds.append(broker.start())
        broker.stop()
    return {
        "first_start_s": seconds[0],
        "start_to_ready_s": statistics.median(seconds[1:]),
        "goal_s": 1.0,
    }


def measure() -> dict[str, Any]:
    """Run everything on a scratch broker and return the figures."""
    with tempfile.TemporaryDirectory(prefix="whimbrel-bench-") as scratch:
        figures: dict[str, Any] = {"start": starts(Path(scratch) / "starts")}
        with BrokerProcess(Path(scratch) / "broker") as broker:
            matching = {"trigger.body.name": {"type": "equals", "pattern": "st2"}}
            for name, action in (("fast", "core.local"), ("quiet", "core.local")):
                rule = _rule(name, matching, {"ref": action, "parameters": {"cmd": "true"}})
                status, answer = broker.call("POST", "/api/v1/rules", rule)
                assert status == 201, answer
            broker.cli("run", "core.local", "cmd=true")
            figures["memory_idle"] = memory(broker)
            parts: tuple[Callable[[BrokerProcess], dict[str, Any]], ...] = (
                latency,
                sustained,
                unmatched,
                noops,
                cli,
            )
            for part in parts:
                figures[part.__name__] = part(broker)
            figures["memory_after_load"] = memory(broker)
    return figures


if __name__ == "__main__":
    json.dump(measure(), sys.stdout, indent=2)
