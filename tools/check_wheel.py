"""Installs the built wheels into a clean environment and runs an action there: `make package`.

    python tools/check_wheel.py [FOLDER_OF_WHEELS]

Nothing of the checkout is reachable from there: another folder, another home, another environment.
"""

import os
import signal
import subprocess
import sys
import tempfile
import time
import venv
from pathlib import Path

from whimbrel.testing import free_port

ROOT = Path(__file__).parents[1]
READY_SECONDS_MAX = 30.0
STOP_SECONDS_MAX = 20.0
POLL_SECONDS = 0.05
KEPT = ("PATH", "LANG", "PIP_INDEX_URL", "PIP_CONFIG_FILE", "SSL_CERT_FILE")


class CheckFailed(Exception):
    """The installed program did not do what it should; the text says what."""


def install(wheels: Path, environment: Path) -> Path:
    """Make an environment with both wheels; return its folder of programs."""
    venv.create(environment, with_pip=True)
    programs = environment / "bin"
    files = sorted(str(file) for file in wheels.glob("*.whl"))
    if len(files) != 2:
        raise CheckFailed(f"{wheels} should hold two wheels, found: {files}")
    pip = (programs / "python", "-m", "pip", "install", "-q", "--disable-pip-version-check")
    subprocess.run([*pip, *files], check=True, stdin=subprocess.DEVNULL)
    return programs


def wait_ready(broker: subprocess.Popen[bytes], log: Path) -> None:
    """Return once the broker says that it is ready."""
    deadline = time.monotonic() + READY_SECONDS_MAX
    while "is ready at" not in (said := log.read_text()):
        if broker.poll() is not None or time.monotonic() > deadline:
            raise CheckFailed(f"`whimbrel up` did not get ready:\n{said}")
        time.sleep(POLL_SECONDS)


def use(programs: Path, folder: Path) -> None:
    """Start a broker in the empty folder, run an action, stop."""
    url = f"http://127.0.0.1:{free_port()}"
    kept = {name: os.environ[name] for name in KEPT if name in os.environ}
    environment = {**kept, "HOME": str(folder), "WHIMBREL_URL": url}
    log = folder / "broker.log"
    with log.open("wb") as output:
        broker = subprocess.Popen(
            [programs / "whimbrel", "up", "--port", url.rpartition(":")[2], "--grpc-port", "0"],
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        )
    try:
        wait_ready(broker, log)
        python = str(programs / "python")
        for command in (
            [str(programs / "whimbrel"), "run", "core.local", "cmd=date"],
            [python, "-m", "whimbrel.cli", "run", "core.echo", "message=installed"],
        ):
            ran = subprocess.run(
                command, cwd=folder, env=environment, stdin=subprocess.DEVNULL, check=False
            )
            if ran.returncode:
                raise CheckFailed(f"{command} ended with {ran.returncode}:\n{log.read_text()}")
        broker.send_signal(signal.SIGTERM)
        if code := broker.wait(STOP_SECONDS_MAX):
            raise CheckFailed(f"`whimbrel up` ended with {code}:\n{log.read_text()}")
    finally:
        if broker.poll() is None:
            broker.kill()
            broker.wait()


def main(arguments: list[str]) -> int:
    """Check the wheels; return the exit code."""
    wheels = Path(arguments[0]) if arguments else ROOT / "dist"
    with tempfile.TemporaryDirectory(prefix="whimbrel-wheel-") as scratch:
        folder = Path(scratch) / "empty"
        folder.mkdir()
        try:
            use(install(wheels, Path(scratch) / "venv"), folder)
        except (CheckFailed, subprocess.CalledProcessError) as failure:
            print(f"check_wheel: {failure}", file=sys.stderr)
            return 1
    print("both wheels install into a clean environment and run there")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
