"""The command as a process: what it imports, how it ends."""

import subprocess
import sys
from pathlib import Path

from tests.unit.cli.documents import KEY
from tests.unit.cli.served import Reply, Served

HEAVY = {"asyncio", "grpc", "msgspec", "rich", "yaml", "lmdb", "nats", "structlog", "whimbrel.app"}
TELL_IMPORTS = (
    "import sys, whimbrel.cli; sys.argv = ['whimbrel', 'key', 'get', 'k'];"
    " code = whimbrel.cli.main(); print(code, *sys.modules, file=sys.stderr)"
)


def environment(server: Served, home: Path) -> dict[str, str]:
    """Return the environment of a process that talks to the server."""
    return {"HOME": str(home), "WHIMBREL_URL": server.url, "WHIMBREL_AUTH_TOKEN": "t"}


def test_getting_a_key_imports_nothing_heavy(server: Served, tmp_path: Path) -> None:
    """Start-up is what a person feels, so a small command loads little."""
    server.on("GET", "/api/v1/keys/k", Reply(KEY))

    ran = subprocess.run(
        [sys.executable, "-c", TELL_IMPORTS],
        env=environment(server, tmp_path),
        capture_output=True,
        text=True,
        timeout=20,
        check=True,
    )

    code, *modules = ran.stderr.split()
    assert code == "0"
    assert "| name             | k            |" in ran.stdout
    assert set() == HEAVY & set(modules)


def test_a_reader_that_goes_away_is_no_crash(server: Served, tmp_path: Path) -> None:
    """`whimbrel … | head` ends quietly."""
    server.on("GET", "/api/v1/keys", Reply([{**KEY, "value": "x" * 1000}] * 1000))

    ran = subprocess.run(
        [
            "bash",
            "-c",
            f"{sys.executable} -m whimbrel.cli key list | head -1; echo ${{PIPESTATUS[0]}}",
        ],
        env={**environment(server, tmp_path), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        timeout=20,
        check=True,
    )

    assert ran.stderr == ""
    assert ran.stdout.splitlines()[-1] == "141"
