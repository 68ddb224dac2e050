"""A runner for tests: its parameters say how to behave, well or badly."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from whimbrel_sdk import Outcome, Plugin, Run, serve

plugin = Plugin(name="probe", version="0.1.0")


@plugin.runner("probe.echo")
async def echo(run: Run) -> Outcome:
    """Answer with the action's parameters."""
    return Outcome.succeeded(run.action_params)


@plugin.runner("probe.work", cancel_grace_seconds=0.1)
async def work(run: Run) -> Outcome:
    """Do what `do` says."""
    return await DEEDS[run.action_params["do"]](run)


@plugin.runner("probe.single", cancel_grace_seconds=0.05)
async def single(run: Run) -> Outcome:
    """Announce the run, then wait for a file."""
    run.write("stdout", f"{run.id}\n".encode())
    while not Path(run.action_params["until"]).exists():
        await asyncio.sleep(0.01)
    return Outcome.succeeded(run.id)


@plugin.runner("probe.shy", max_concurrency=1)
async def shy(run: Run) -> Outcome:
    """Take a moment, alone."""
    await asyncio.sleep(0.02)
    return Outcome.succeeded(run.id)


async def wait(run: Run) -> Outcome:
    """Run until canceled."""
    run.write("stdout", b"waiting\n")
    await run.cancelled.wait()
    return Outcome.canceled({"partial": True})


async def ignore(run: Run) -> Outcome:
    """Never end, whatever is asked."""
    run.write("stdout", b"waiting\n")
    while True:
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            run.write("stdout", b"ignored\n")


async def block(run: Run) -> Outcome:
    """Block the plugin's loop: no heartbeat, no answer."""
    run.write("stdout", b"waiting\n")
    await asyncio.sleep(0.05)
    time.sleep(3600)
    return Outcome.succeeded()


async def leave(run: Run) -> Outcome:
    """End the process with a last word."""
    print("the last word", file=sys.stderr, flush=True)
    os._exit(7)


async def die(run: Run) -> Outcome:
    """Be killed."""
    os.kill(os.getpid(), signal.SIGKILL)
    return Outcome.succeeded()


async def fail(run: Run) -> Outcome:
    """Raise."""
    raise LookupError("nothing there")


async def bytes_exact(run: Run) -> Outcome:
    """Print every byte there is, one by one, on both channels."""
    for value in range(256):
        run.write("stdout", bytes([value]))
        run.write("stderr", bytes([255 - value]))
    return Outcome.succeeded()


async def flood(run: Run) -> Outcome:
    """Print far too much."""
    for _ in range(400):
        run.write("stdout", b"x" * 65536)
        await run.drain()
    return Outcome.succeeded()


async def chatter(run: Run) -> Outcome:
    """Flood the log."""
    for number in range(5000):
        print("noise", number)
    return Outcome.succeeded()


async def child(run: Run) -> Outcome:
    """Start a process that outlives the run, tell its id, and wait."""
    process = subprocess.Popen(["sleep", "3600"])
    run.write("stdout", f"{process.pid}\n".encode())
    await run.cancelled.wait()
    return Outcome.canceled()


async def surroundings(run: Run) -> Outcome:
    """Tell what the plugin sees."""
    return Outcome.succeeded(
        {"env": dict(os.environ), "cwd": str(Path.cwd()), "run": dict(run.env)}
    )


DEEDS = {
    "wait": wait,
    "ignore": ignore,
    "block": block,
    "leave": leave,
    "die": die,
    "fail": fail,
    "bytes": bytes_exact,
    "flood": flood,
    "chatter": chatter,
    "child": child,
    "surroundings": surroundings,
}

if __name__ == "__main__":
    serve(plugin)
