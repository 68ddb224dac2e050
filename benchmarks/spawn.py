"""The shell runner against the bare cost of its processes, measured in turns in the same run.

The floor is `posix_spawn` of `/bin/sh -c true` and `waitpid`: no pipes, no output, no result. The runner does the
whole run: parameters decoded, environment, pipes, process group, output, result. `share_of_floor` is what
the runner keeps of the machine's rate, `over_floor_ms` what it adds to one run when nothing else is going on.
"""

import asyncio
import json
import os
import statistics
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from whimbrel_sdk import Run

sys.path.append(str(Path(__file__).parents[1] / "runners" / "shell"))

from shell_follow import Limits, ShellCommands
from shell_runner import ShellRunner, account_name
from shell_spawn import Spawner

ROUNDS = 7
RUNS = 240
AT_ONCE = 8
PARAMETERS = b'{"cmd":"true","cwd":null,"env":null,"kwarg_op":"--","sudo":false,"sudo_password":null,"timeout":60}'

Turns = dict[str, list[tuple[float, float]]]


def measure() -> dict[str, float]:
    """Return medians over the rounds: processes a second, ms a process, parent's CPU µs a process."""
    environment = dict(os.environ)
    spawner = Spawner()
    commands = ShellCommands(spawner, Limits())
    runner = ShellRunner(commands, environment, service_user=account_name())
    turns: Turns = {}
    for _ in range(ROUNDS):
        for at_once in (1, AT_ONCE):
            floor = _timed(partial(_floor, environment, at_once))
            ours = _timed(partial(_run_all, runner, at_once))
            turns.setdefault(f"floor_{at_once}", []).append(floor)
            turns.setdefault(f"runner_{at_once}", []).append(ours)
    spawner.close()
    return _figures(turns)


def _timed(work: Callable[[], None]) -> tuple[float, float]:
    """Return seconds and this process's own CPU seconds for one of RUNS processes."""
    started, cpu = time.perf_counter(), time.process_time()
    work()
    return (time.perf_counter() - started) / RUNS, (time.process_time() - cpu) / RUNS


def _floor(environment: dict[str, str], at_once: int) -> None:
    """Start and wait for RUNS processes, `at_once` at a time."""
    alive = 0
    for _ in range(RUNS):
        if alive == at_once:
            os.waitpid(-1, 0)
            alive -= 1
        os.posix_spawn("/bin/sh", ("/bin/sh", "-c", "true"), environment)
        alive += 1
    for _ in range(alive):
        os.waitpid(-1, 0)


def _run_all(runner: ShellRunner, at_once: int) -> None:
    asyncio.run(_runs(runner, at_once))


async def _runs(runner: ShellRunner, at_once: int) -> None:
    """Run RUNS commands, `at_once` at a time."""

    async def some() -> None:
        for number in range(RUNS // at_once):
            outcome = await runner.run_command(
                Run(id=str(number), runner="local-shell-cmd", params_json=PARAMETERS)
            )
            assert outcome.result["succeeded"]

    async with asyncio.TaskGroup() as group:
        for _ in range(at_once):
            group.create_task(some())


def _figures(turns: Turns) -> dict[str, float]:
    figures: dict[str, float] = {}
    for name, taken in turns.items():
        figures[f"{name}_per_second"] = 1 / statistics.median(wall for wall, _ in taken)
        figures[f"{name}_cpu_us"] = statistics.median(cpu for _, cpu in taken) * 1e6
    for at_once in (1, AT_ONCE):
        pairs = list(zip(turns[f"floor_{at_once}"], turns[f"runner_{at_once}"], strict=True))
        shares = [floor[0] / ours[0] for floor, ours in pairs]
        figures[f"share_of_floor_{at_once}"] = statistics.median(shares)
    pairs = list(zip(turns["floor_1"], turns["runner_1"], strict=True))
    figures["over_floor_ms"] = statistics.median(ours[0] - floor[0] for floor, ours in pairs) * 1e3
    return {name: round(value, 3) for name, value in figures.items()}


if __name__ == "__main__":
    print(json.dumps(measure(), indent=2))
